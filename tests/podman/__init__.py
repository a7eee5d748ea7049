"""A real podman: repo2docker builds with it, and a real JupyterHub spawns what was built."""
