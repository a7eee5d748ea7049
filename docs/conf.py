"""Configuration of Sphinx; `make docs` builds the pages."""

import logging
import sys
from pathlib import Path

from binderprogress import __version__

sys.path.insert(0, str(Path(__file__).with_name("_ext")))

# It reports its plugins when it is imported.
logging.getLogger("alembic").setLevel(logging.WARNING)

project = "binderprogress"
author = "The binderprogress developers"
version = release = __version__

extensions = [
    "configurables",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.programoutput",
]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# "--json" has two hyphens.
smartquotes = False
exclude_patterns = ["_build"]

autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
# Names, as in the source: the value of a default may be a table of hundreds of lines.
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
default_role = "code"
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = "binderprogress"
