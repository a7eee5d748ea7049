"""BinderHubs elsewhere, which build and launch for this server."""
