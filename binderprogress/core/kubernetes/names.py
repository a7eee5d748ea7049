"""Names of build pods and images, as BinderHub makes them.

A BinderHub and this server join each other's builds, and find each other's images.
"""

from __future__ import annotations

import hashlib
import string
from urllib.parse import unquote, urlsplit

from ..specs import Spec

__all__ = ["build_name", "build_slug", "image_name"]

_SAFE = set(string.ascii_letters + string.digits)
# Of the name of a pod, and of an image without its tag.
_LONGEST_POD, _LONGEST_IMAGE = 63, 255
_POD_REF = 6


def build_slug(spec: Spec) -> str:
    """Return what BinderHub calls a repository in names.

    Parameters
    ----------
    spec : Spec
        Of a record: the spec of its version.
    """
    path = urlsplit(spec.repo_url).path.strip("/")
    if spec.is_record:
        # BinderHub knows records of Zenodo by their number.
        return f"{spec.provider}-{str(spec).partition('/')[2].rpartition('/zenodo.')[2]}"
    if spec.provider == "gh":
        return path.removesuffix(".git").replace("/", "-", 1)
    if spec.provider == "gist":
        return path.rpartition("/")[2]
    if spec.provider == "gl":
        return "-".join(part.replace("-", "_-") for part in unquote(path).split("/"))
    return spec.repo_url


def build_name(spec: Spec, commit: str) -> str:
    """Return the name of the pod that builds a commit: at most 63 characters."""
    ref = _slug(commit, limit=_POD_REF, digits=2)[:_POD_REF]
    slug = _slug(build_slug(spec), limit=_LONGEST_POD - len("build-") - _POD_REF - 1)
    return f"build-{slug}-{ref}"


def image_name(spec: Spec, commit: str, *, prefix: str) -> str:
    """Return the name of a commit's image, with its tag."""
    slug = _slug(build_slug(spec), limit=_LONGEST_IMAGE - len(prefix))
    return f"{prefix}{slug}:{commit}".replace("_", "-").lower()


def _slug(text: str, *, limit: int, digits: int = 6) -> str:
    # Only who builds on Kubernetes needs it.
    from escapism import escape

    digest = hashlib.sha256(text.encode()).hexdigest()[:digits]
    escaped = escape(text, safe=_SAFE, escape_char="-")[: limit - digits - 1]
    return f"{escaped}-{digest}".lower()
