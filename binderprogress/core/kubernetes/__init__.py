"""What Kubernetes says about pods, without asking it."""
