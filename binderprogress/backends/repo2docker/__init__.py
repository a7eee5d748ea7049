"""The builder that runs repo2docker."""
