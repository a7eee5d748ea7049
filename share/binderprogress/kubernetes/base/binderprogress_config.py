"""The configuration of all replicas. Put your own in its place, see docs/z2jh.md."""

import os
from pathlib import Path

c = get_config()  # noqa: F821 - traitlets defines it

c.KubernetesBuilder.image_prefix = "registry.example.org/binder-"
c.Registry.url = "https://registry.example.org"
# For a private registry: the secret "binderprogress-registry".
if Path("/etc/registry/config.json").exists():
    c.Registry.docker_config = "/etc/registry/config.json"

if "JUPYTERHUB_SERVICE_NAME" in os.environ:
    c.JupyterHubService.engine = "kubernetes"
else:
    # The component "public".
    c.HubLauncher.url = "https://hub.example.org/"  # as browsers see it
    c.Standalone.engine = "kubernetes"
    c.Standalone.ip = "0.0.0.0"  # noqa: S104 - network policies say who can reach it
    c.Web.local_only = False
    c.Web.trust_proxy = True

# The component "replicas" sets it.
if "DATABASE_URL" in os.environ:
    c.Storage.url = c.History.url = os.environ["DATABASE_URL"]
