"""The ways to run binderprogress. Each assembles the layers below."""
