"""A plugin of pytest, with which BinderHub's own tests run with our extension."""

from __future__ import annotations

import binderhub.app

from binderprogress.deploy.binderhub import BinderProgressHub

# BinderHub's conftest.py imports it from there.
binderhub.app.BinderHub = BinderProgressHub
