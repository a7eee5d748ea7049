"""JupyterHub spawners that start what a launch built."""
