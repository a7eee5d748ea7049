"""Runs JupyterHub: ``python -m binderprogress.deploy.jupyterhub_program``.

jupyter_events imports jsonschema, which imports rfc3987_syntax if it is installed. That compiles a
grammar, which takes more than a second, half of JupyterHub's start. jsonschema needs it only for
strings of the format "iri", which JupyterHub does not use.
"""

from __future__ import annotations

import gc
import sys

if __name__ == "__main__":
    # Importing it raises ImportError then, as if it were not installed. typeshed lacks None.
    sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

    # Modules are never freed: collecting garbage while they are imported only takes time.
    gc.disable()
    from jupyterhub.app import main

    gc.freeze()
    gc.enable()
    main()
