"""A JupyterHub, which starts the Jupyter servers."""
