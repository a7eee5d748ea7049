__version__ = "0.1.0"

VERSION_HEADER = "Binderprogress"
"""The header of /versions in a BinderHub that has our version. The body is BinderHub's own."""
