"""Following the ``/build/`` stream of a BinderHub."""
