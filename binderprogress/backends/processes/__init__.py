"""Child processes, with their environment variables, limits and namespaces."""
