# repo2docker's configuration for builds that binderprogress starts. The address is known; other
# content providers would ask the internet before they know.
from binderprogress.sources.contentproviders import content_provider
from binderprogress.sources.fetching import take_settings

c = get_config()  # noqa: F821 - traitlets puts it there
c.Repo2Docker.content_providers = [content_provider(take_settings())]
