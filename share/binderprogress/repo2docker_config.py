# repo2docker's configuration for builds that binderprogress starts, each in a folder of its own.
from pathlib import Path

from binderprogress.backends.fetch.isolated import isolated_provider
from binderprogress.backends.fetch.options import take_plan

c = get_config()  # noqa: F821 - traitlets puts it there
c.Repo2Docker.content_providers = [isolated_provider(take_plan())]
checkout = Path("checkout").resolve()
checkout.mkdir(mode=0o700)
c.Repo2Docker.git_workdir = str(checkout)
