"""The configuration of both replicas. See docs/replicas.md."""

import os

c = get_config()  # noqa: F821 - traitlets defines it

# What builds and launches. Instead, c.HubLauncher.url can be the URL of a JupyterHub.
c.Upstreams.urls = os.environ["BINDERHUBS"].split()

c.Standalone.ip = "0.0.0.0"  # noqa: S104 - only the proxy can reach it
c.Web.local_only = False
c.Web.trust_proxy = True

# Shared: launches and their events, and what is known of past launches.
c.Storage.url = c.History.url = os.environ["DATABASE"]
# Shared: the full logs of builds. Without such a folder, they are copied through the database.
c.Storage.log_folder = os.environ["LOGS"]
c.Storage.share_logs = False
