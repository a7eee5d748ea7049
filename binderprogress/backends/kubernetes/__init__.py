"""Builds images in pods on Kubernetes."""
