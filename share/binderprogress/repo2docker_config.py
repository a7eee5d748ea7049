# The repo2docker configuration for builds started by binderprogress. Each runs in its own folder.
from pathlib import Path

from binderprogress.backends.fetch.isolated import isolated_provider
from binderprogress.backends.fetch.options import take_plan
from binderprogress.backends.repo2docker.images import LABEL
from binderprogress.backends.repo2docker.isolated_buildpack import isolated_buildpack
from binderprogress.backends.repo2docker.reuse import take_reuse

c = get_config()  # noqa: F821 - traitlets puts it there
plan = take_plan()
checkout = Path("checkout").resolve()
checkout.mkdir(mode=0o700)
c.Repo2Docker.content_providers = [isolated_provider(plan)]
c.Repo2Docker.buildpacks = [isolated_buildpack(plan, checkout, take_reuse())]
c.Repo2Docker.labels = {LABEL: "yes"}
c.Repo2Docker.git_workdir = str(checkout)
