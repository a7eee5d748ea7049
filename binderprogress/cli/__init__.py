"""The ``binderprogress`` command."""
