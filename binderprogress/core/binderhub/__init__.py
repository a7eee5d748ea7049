"""Following the stream of a BinderHub's ``/build/``."""
