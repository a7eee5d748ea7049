"""The gallery: the entries of the front page, from a YAML file.

The file is a list of entries; `Entry` has their fields. Pictures are read when the server starts
and served from memory under generated names, so no request is ever used as a file path.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec

from ..core import specs
from ..core.redact import redact
from ..core.specs import Spec
from ..errors import BadRequestError, ConfigError
from .links import check_urlpath

__all__ = ["Entry", "Gallery", "Item", "Picture", "load_entries", "make_gallery", "read_gallery"]

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_SLUG_LENGTH = 64
# The host becomes part of the Content-Security-Policy, where ; and spaces are separators.
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?", re.IGNORECASE)
_PICTURE_TYPES = {
    ".avif": "image/avif",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
# Social networks do not show SVG, and not all of them show AVIF.
_PREVIEW_TYPES = {".gif", ".jpeg", ".jpg", ".png", ".webp"}
_PICTURE_SIZE = 1 << 20
_YAML_NAMES = {
    "array": "a list",
    "bool": "yes or no",
    "date": "a date",
    "datetime": "a date",
    "float": "a number",
    "int": "a number",
    "object": "a mapping",
}


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of the file.

    Attributes
    ----------
    title : str
    spec : str
        What to launch, such as ``gh/binder-examples/requirements/HEAD``.
    repo, ref : str
        Instead of a spec: a URL that git can clone, and a branch, tag or commit.
    description : str
    picture : str
        An http or https URL, or a path relative to the file.
    urlpath : str
        Path to open in the Jupyter server.
    slug : str
        The name in ``/go/<slug>``; derived from the title if empty.
    kind : str
        A short label above the title.
    """

    title: str
    spec: str = ""
    repo: str = ""
    ref: str = ""
    description: str = ""
    picture: str = ""
    urlpath: str = ""
    slug: str = ""
    kind: str = ""


class Picture(msgspec.Struct, frozen=True):
    """A picture that this server serves."""

    content_type: str
    data: bytes


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A validated entry.

    Attributes
    ----------
    picture : str
        A URL, or the name of one of the gallery's `pictures`; empty for none.
    """

    slug: str
    title: str
    spec: Spec
    description: str
    kind: str
    urlpath: str
    picture: str

    @property
    def has_local_picture(self) -> bool:
        """Whether this server serves the picture."""
        return bool(self.picture) and "://" not in self.picture

    @property
    def has_preview(self) -> bool:
        """Whether link previews in social networks can show the picture."""
        suffix = PurePosixPath(urlsplit(self.picture).path).suffix
        return suffix.lower() in _PREVIEW_TYPES

    def picture_url(self, base_url: str) -> str:
        """Return the URL of the picture.

        Parameters
        ----------
        base_url : str
            URL or path of this server, with a trailing slash.
        """
        return f"{base_url}gallery/{self.picture}" if self.has_local_picture else self.picture

    @property
    def origin(self) -> str:
        """The repository for people, with its ref unless that is the default."""
        # For a local folder the title: its path would tell visitors nothing.
        url = self.spec.repo_url.removeprefix("https://")
        name = self.spec.title if self.spec.is_local else url
        return name if self.spec.ref in {"", "HEAD"} else f"{name} @ {self.spec.ref}"


class Gallery(msgspec.Struct, frozen=True):
    """The items by slug, in order, and the pictures that this server serves by name."""

    items: dict[str, Item] = {}
    pictures: dict[str, Picture] = {}

    @property
    def picture_origins(self) -> list[str]:
        """The origins of pictures on other sites, for the Content-Security-Policy."""
        urls = [
            urlsplit(item.picture)
            for item in self.items.values()
            if item.picture and not item.has_local_picture
        ]
        return sorted({f"{url.scheme}://{url.netloc.lower()}" for url in urls})

    def find(self, spec: Spec, urlpath: str) -> Item | None:
        """Return the first item with a spec. Items that also have the same urlpath come first."""
        items = [item for item in self.items.values() if item.spec == spec]
        same = [item for item in items if item.urlpath == urlpath]
        return next(iter(same or items), None)


def read_gallery(path: Path) -> Gallery:
    """Read and validate the YAML file of a gallery.

    Raises
    ------
    ConfigError
        If the file is missing or invalid. The message names the entry and the field, and says how
        to correct it.
    """
    return make_gallery(load_entries(path), path)


def load_entries(path: Path) -> list[Any]:
    """Read the entries of a file without validating them.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is not a list in YAML.
    """
    try:
        # msgspec uses PyYAML's safe loader, which only creates plain values.
        entries = msgspec.yaml.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"The gallery {path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        reason = ", ".join(lines).replace('in "<byte string>", ', "").rstrip(".")
        raise ConfigError(redact(f"The gallery {path} is not valid YAML: {reason}.")) from error
    if not isinstance(entries, list):
        raise ConfigError(
            f"The gallery {path} is not a list. Write a list of entries that start with `- title:`."
        )
    return entries


def make_gallery(entries: Iterable[Any], path: Path) -> Gallery:
    """Validate entries.

    Parameters
    ----------
    entries : iterable
        The entries, as `load_entries` returns them.
    path : Path
        The file that they are from. Paths of pictures are relative to it.

    Raises
    ------
    ConfigError
        If an entry is invalid.
    """
    gallery = Gallery({}, {})
    for number, raw in enumerate(entries, 1):
        item, picture = _EntryValidator(path, number, raw).item()
        if item.slug in gallery.items:
            first = list(gallery.items).index(item.slug) + 1
            raise ConfigError(
                f"The gallery {path}, entry {number} ({item.title}), slug: {item.slug!r} is "
                f"already the slug of entry {first}. Change one of them."
            )
        gallery.items[item.slug] = item
        if picture is not None:
            gallery.pictures[item.picture] = picture
    return gallery


class _EntryValidator:
    """Validates one entry. Error messages start with its place in the file."""

    def __init__(self, path: Path, number: int, raw: Any) -> None:
        self._path = path
        self._place = f"The gallery {path}, entry {number}"
        if not isinstance(raw, dict):
            raise ConfigError(f"{self._place} is not a mapping. It must start with `- title:`.")
        title = raw.get("title")
        if isinstance(title, str) and title.strip():
            self._place += f" ({title.strip()[:60]})"
        try:
            self._entry = msgspec.convert(raw, Entry)
        except msgspec.ValidationError as error:
            raise ConfigError(redact(f"{self._place}, {_explain(str(error), raw)}")) from error

    def item(self) -> tuple[Item, Picture | None]:
        """Return the item, and its picture if this server serves it."""
        entry = self._entry
        if not entry.title.strip():
            self._refuse("title", "It is empty. Write the title to show on the card.")
        slug = self._slug()
        name, picture = self._picture(slug)
        item = Item(
            slug=slug,
            title=entry.title.strip(),
            spec=self._spec(),
            description=entry.description.strip(),
            kind=entry.kind.strip(),
            urlpath=self._urlpath(),
            picture=name,
        )
        return item, picture

    def _refuse(self, field: str, sentence: object) -> NoReturn:
        raise ConfigError(redact(f"{self._place}, {field}: {sentence}"))

    def _spec(self) -> Spec:
        entry, field = self._entry, "spec"
        if not entry.spec and not entry.repo:
            self._refuse("spec", "It is missing. Give either `spec` or `repo`.")
        if entry.spec and (entry.repo or entry.ref):
            field = "repo" if entry.repo else "ref"
            self._refuse(field, "The entry already has a spec. Give either `spec` or `repo`.")
        try:
            if entry.spec:
                return specs.parse(entry.spec)
            field = "repo"
            specs.from_address(entry.repo)
            field = "ref"
            return specs.from_address(entry.repo, entry.ref)
        except BadRequestError as error:
            self._refuse(field, error)

    def _urlpath(self) -> str:
        try:
            if self._entry.urlpath or not self._entry.repo:
                return check_urlpath(self._entry.urlpath)
            return specs.read_address(self._entry.repo, self._entry.ref).urlpath
        except BadRequestError as error:
            self._refuse("urlpath", error)

    def _slug(self) -> str:
        if not self._entry.slug:
            slug = _slugify(self._entry.title)
            if not slug:
                self._refuse(
                    "slug", "It cannot be derived from this title. Give one, such as my-notebook."
                )
            return slug
        slug = self._entry.slug
        if len(slug) > _MAX_SLUG_LENGTH or not _SLUG.fullmatch(slug):
            self._refuse(
                "slug",
                f"{slug[:80]!r} is not a slug. Use lowercase letters a to z and digits, separated "
                f"by single dashes, such as my-notebook; at most {_MAX_SLUG_LENGTH} characters.",
            )
        return slug

    def _picture(self, slug: str) -> tuple[str, Picture | None]:
        text = self._entry.picture.strip()
        if not text:
            return "", None
        # Everything with a scheme is a URL, so that "javascript:" is refused as one.
        if re.match(r"[\w+.-]+:", text) or text.startswith("//"):
            return self._url(text), None
        return self._file(text, slug)

    def _url(self, text: str) -> str:
        advice = "Give an http or https URL, or the path of a file next to the gallery."
        try:
            parts = urlsplit(text)
        except ValueError:
            self._refuse("picture", f"{text[:100]!r} is not a valid URL. {advice}")
        if parts.scheme not in {"http", "https"}:
            self._refuse("picture", f"{text[:100]!r} is not an http or https URL. {advice}")
        if not _HOST.fullmatch(parts.netloc) or not text.isprintable() or " " in text:
            self._refuse(
                "picture",
                f"{text[:100]!r} is not a plain URL. Write it as https://example.org/picture.png, "
                "without a user name, a password or spaces.",
            )
        return text

    def _file(self, text: str, slug: str) -> tuple[str, Picture]:
        content_type = _PICTURE_TYPES.get(Path(text).suffix.lower())
        if content_type is None:
            known = ", ".join(_PICTURE_TYPES)
            self._refuse(
                "picture", f"{text[:100]!r} is not a picture. File names must end in {known}."
            )
        folder = self._path.parent.resolve()
        try:
            file = (folder / text).resolve()
            # Symbolic links are resolved first, so they cannot lead out of the folder.
            if not file.is_relative_to(folder):
                self._refuse(
                    "picture",
                    f"{text[:100]!r} is outside of the gallery's folder. Move the file there.",
                )
            size = file.stat().st_size
            data = file.read_bytes() if size <= _PICTURE_SIZE else b""
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self._refuse("picture", f"{text[:100]!r} cannot be read: {reason}.")
        if not data:
            self._refuse(
                "picture",
                f"{text[:100]!r} has {size:,} bytes. It must have between 1 and "
                f"{_PICTURE_SIZE:,} bytes; a width of 800 pixels is enough.",
            )
        return slug + Path(text).suffix.lower(), Picture(content_type, data)


def _slugify(title: str) -> str:
    # NFKD splits é into e and an accent, which is dropped.
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_MAX_SLUG_LENGTH].strip("-")


def _explain(message: str, raw: dict[Any, Any]) -> str:
    """Rewrite an error message of msgspec for people who write YAML."""
    if match := re.search(r"unknown field `(.*)`", message):
        known = ", ".join(field.name for field in msgspec.structs.fields(Entry))
        return f"{match[1]}: This field does not exist. The fields are {known}."
    if match := re.search(r"missing required field `(\w+)`", message):
        return f"{match[1]}: It is missing. Every entry needs one."
    if match := re.fullmatch(r"Expected `str`, got `(\w+)` - at `\$\.(\w+)`", message):
        kind, field = match.groups()
        if kind == "null":
            return f"{field}: It is empty. Write some text, or omit the field."
        name = _YAML_NAMES.get(kind, kind)
        return f"{field}: This is {name}, not text. Put text in quotes."
    key = next((key for key in raw if not isinstance(key, str)), "")
    return f"{key}: Field names must be text. {message}."
