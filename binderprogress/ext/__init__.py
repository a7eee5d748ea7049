"""Adds binderprogress to other applications, from their configuration files."""
