# repo2docker's configuration for builds that binderprogress starts. The address is a git
# repository's for certain; the other content providers would ask the internet before they know.
from repo2docker.contentproviders import Git

c = get_config()  # noqa: F821 - traitlets puts it there
c.Repo2Docker.content_providers = [Git]
