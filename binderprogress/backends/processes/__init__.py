"""Child processes: their environment, limits and namespaces."""
