"""Sphinx' configuration: `make docs`."""

from binderprogress import __version__

project = "binderprogress"
author = "The binderprogress developers"
version = release = __version__

extensions = ["myst_parser"]
myst_heading_anchors = 3
# "--json" is two dashes.
smartquotes = False
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "binderprogress"
