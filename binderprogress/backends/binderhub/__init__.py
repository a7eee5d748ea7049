"""BinderHub upstreams, which build and launch for this server."""
