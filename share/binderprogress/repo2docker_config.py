# repo2docker's configuration for builds that binderprogress starts. What the address is, is known;
# other content providers would ask the internet before they know.
import os

from binderprogress.sources.contentproviders import content_provider

c = get_config()  # noqa: F821 - traitlets puts it there
c.Repo2Docker.content_providers = [content_provider(os.environ["BINDERPROGRESS_PROVIDER"])]
