"""The backend that builds environments on this machine, without a container engine."""
