"""JupyterHub spawners for built environments and images."""
