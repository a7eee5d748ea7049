"""The backend's part that builds images with repo2docker."""
