"""Environments on this machine, without a container engine."""
