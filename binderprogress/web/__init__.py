"""Tornado handlers: parse, call, write; nothing else."""
