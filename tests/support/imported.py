"""What the process that forks imports; see `tests.support.forked`."""

import gc
import sys
from importlib import import_module

_MODULES = (
    *("alembic.command", "jupyterhub.app"),
    *("binderprogress.channels.database.store", "binderprogress.history.database"),
    *(f"binderprogress.cli.{name}" for name in ("app", "check", "display", "launch", "serve")),
    "binderprogress.deploy.standalone",
)

# As in `binderprogress.deploy.jupyterhub_program`.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # typeshed lacks None

gc.disable()
for _name in _MODULES:
    import_module(_name)
gc.freeze()
gc.enable()
