"""The ways to run binderprogress; each is a thin assembly of the layers below."""
