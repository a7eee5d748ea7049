"""The gallery: what the front page offers, from a YAML file.

The file is a list of entries; `Entry` has their fields. Pictures are read when the server starts,
and served from memory under names of our own: no request ever becomes a path on the disk.
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
from ..core.specs import Spec
from ..errors import BadRequestError, ConfigError
from .links import check_urlpath

__all__ = ["Entry", "Gallery", "Item", "Picture", "load_entries", "make_gallery", "read_gallery"]

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LONGEST_SLUG = 64
# As it goes into the Content-Security-Policy: there a ; or a space would begin something else.
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
# What social networks show: nothing that is drawn, and not all take AVIF.
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
    """An entry as it stands in the file.

    Attributes
    ----------
    title : str
    spec : str
        What to launch, as ``gh/binder-examples/requirements/HEAD``.
    repo, ref : str
        Instead of a spec: an address that git clones, and a branch, tag or commit.
    description : str
    picture : str
        An http or https address, or a path relative to the file.
    urlpath : str
        What to open in the server.
    slug : str
        The name in ``/go/<slug>``; made of the title if it is left out.
    kind : str
        A word or two above the title.
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
    """A picture that is served from here."""

    content_type: str
    data: bytes


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """An entry, checked.

    Attributes
    ----------
    picture : str
        An address, or the name of one of the gallery's `pictures`; empty: none.
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
        """Whether the picture is served from here."""
        return bool(self.picture) and "://" not in self.picture

    @property
    def has_preview(self) -> bool:
        """Whether the picture is one that previews of links show."""
        suffix = PurePosixPath(urlsplit(self.picture).path).suffix
        return suffix.lower() in _PREVIEW_TYPES

    def picture_url(self, base_url: str) -> str:
        """Return the picture's address, of those that are served from here below `base_url`."""
        return f"{base_url}gallery/{self.picture}" if self.has_local_picture else self.picture

    @property
    def origin(self) -> str:
        """The repository, and the ref if one is named, for people."""
        # Where a folder lies on the server's machine says nothing to people.
        local, address = self.spec.is_local, self.spec.repo_url.removeprefix("https://")
        address = self.spec.title if local else address
        return address if self.spec.ref in {"", "HEAD"} else f"{address} @ {self.spec.ref}"


class Gallery(msgspec.Struct, frozen=True):
    """All items in their order, and the pictures that are served from here, by their names."""

    items: dict[str, Item] = {}
    pictures: dict[str, Picture] = {}

    @property
    def picture_origins(self) -> list[str]:
        """The other sites that pictures come from, as a Content-Security-Policy names them."""
        addresses = [
            urlsplit(item.picture)
            for item in self.items.values()
            if item.picture and not item.has_local_picture
        ]
        return sorted({f"{parts.scheme}://{parts.netloc.lower()}" for parts in addresses})

    def find(self, spec: Spec, urlpath: str) -> Item | None:
        """Return the item that launches a spec; of several, the one that opens the same."""
        items = [item for item in self.items.values() if item.spec == spec]
        same = [item for item in items if item.urlpath == urlpath]
        return next(iter(same or items), None)


def read_gallery(path: Path) -> Gallery:
    """Read the file of a gallery.

    Raises
    ------
    ConfigError
        With a sentence that names the file, the entry, the field, and what is right.
    """
    return make_gallery(load_entries(path), path)


def load_entries(path: Path) -> list[Any]:
    """Read the entries of a file as they stand there.

    Raises
    ------
    ConfigError
        If there is no such file, or it is not a list in YAML.
    """
    try:
        # PyYAML's safe loader: it makes plain values, and never objects of the file's choice.
        entries = msgspec.yaml.decode(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"The gallery {path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines()]
        reason = ", ".join(lines).replace('in "<byte string>", ', "").rstrip(".")
        raise ConfigError(f"The gallery {path} is not YAML: {reason}.") from error
    if not isinstance(entries, list):
        raise ConfigError(
            f"The gallery {path} is not a list. It has one entry after another, each beginning "
            "with `- title:`."
        )
    return entries


def make_gallery(entries: Iterable[Any], path: Path) -> Gallery:
    """Check entries.

    Parameters
    ----------
    entries : iterable
        As `load_entries` returns them.
    path : Path
        The file that they stand in; pictures are relative to it.

    Raises
    ------
    ConfigError
        As `read_gallery` does.
    """
    gallery = Gallery({}, {})
    for number, raw in enumerate(entries, 1):
        item, picture = _Check(path, number, raw).item()
        if item.slug in gallery.items:
            first = list(gallery.items).index(item.slug) + 1
            raise ConfigError(
                f"The gallery {path}, entry {number} ({item.title}), slug: {item.slug!r} is the "
                f"slug of entry {first} too. Give one of them another."
            )
        gallery.items[item.slug] = item
        if picture is not None:
            gallery.pictures[item.picture] = picture
    return gallery


class _Check:
    """Checks one entry; every mistake names where it is."""

    def __init__(self, path: Path, number: int, raw: Any) -> None:
        self._path = path
        self._where = f"The gallery {path}, entry {number}"
        if not isinstance(raw, dict):
            raise ConfigError(f"{self._where} is not a mapping. It begins with `- title:`.")
        title = raw.get("title")
        if isinstance(title, str) and title.strip():
            self._where += f" ({title.strip()[:60]})"
        try:
            self._entry = msgspec.convert(raw, Entry)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{self._where}, {_in_words(str(error), raw)}") from error

    def item(self) -> tuple[Item, Picture | None]:
        """Return the item, and its picture if that is served from here."""
        entry = self._entry
        if not entry.title.strip():
            self._refuse("title", "It is empty. Write what people will read on the card.")
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
        raise ConfigError(f"{self._where}, {field}: {sentence}")

    def _spec(self) -> Spec:
        entry, field = self._entry, "spec"
        if not entry.spec and not entry.repo:
            self._refuse("spec", "It is missing. Name what to launch by `spec`, or by `repo`.")
        if entry.spec and (entry.repo or entry.ref):
            field = "repo" if entry.repo else "ref"
            self._refuse(field, "The spec says that already. Write either `spec`, or `repo`.")
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
            return check_urlpath(self._entry.urlpath)
        except BadRequestError as error:
            self._refuse("urlpath", error)

    def _slug(self) -> str:
        if not self._entry.slug:
            slug = _slug_of(self._entry.title)
            if not slug:
                self._refuse("slug", "None can be made of this title. Give one, as my-notebook.")
            return slug
        slug = self._entry.slug
        if len(slug) > _LONGEST_SLUG or not _SLUG.fullmatch(slug):
            self._refuse(
                "slug",
                f"{slug[:80]!r} is none. It has small letters a to z, digits and single dashes "
                f"between them, as my-notebook, and at most {_LONGEST_SLUG} characters.",
            )
        return slug

    def _picture(self, slug: str) -> tuple[str, Picture | None]:
        text = self._entry.picture.strip()
        if not text:
            return "", None
        # Whatever has a scheme is an address, so that "javascript:" is refused as one.
        if re.match(r"[\w+.-]+:", text) or text.startswith("//"):
            return self._address(text), None
        return self._file(text, slug)

    def _address(self, text: str) -> str:
        right = "Give an http or https address, or the path of a file beside the gallery."
        try:
            parts = urlsplit(text)
        except ValueError:
            self._refuse("picture", f"{text[:100]!r} is no picture's address. {right}")
        if parts.scheme not in {"http", "https"}:
            self._refuse("picture", f"{text[:100]!r} is no picture's address. {right}")
        if not _HOST.fullmatch(parts.netloc) or not text.isprintable() or " " in text:
            self._refuse(
                "picture",
                f"{text[:100]!r} has no plain host. It reads https://example.org/picture.png, "
                "without a user, a password or spaces.",
            )
        return text

    def _file(self, text: str, slug: str) -> tuple[str, Picture]:
        content_type = _PICTURE_TYPES.get(Path(text).suffix.lower())
        if content_type is None:
            known = ", ".join(_PICTURE_TYPES)
            self._refuse("picture", f"{text[:100]!r} is no picture. Its name ends in {known}.")
        folder = self._path.parent.resolve()
        try:
            file = (folder / text).resolve()
            # Links are followed first: what leaves the folder by one leaves it.
            if not file.is_relative_to(folder):
                self._refuse(
                    "picture", f"{text[:100]!r} leaves the gallery's folder. Put the file into it."
                )
            size = file.stat().st_size
            data = file.read_bytes() if size <= _PICTURE_SIZE else b""
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self._refuse("picture", f"{text[:100]!r} cannot be read beside the gallery: {reason}.")
        if not data:
            self._refuse(
                "picture",
                f"{text[:100]!r} has {size:,} bytes. It has between 1 and {_PICTURE_SIZE:,}; "
                "a width of 800 pixels is enough.",
            )
        return slug + Path(text).suffix.lower(), Picture(content_type, data)


def _slug_of(title: str) -> str:
    # é becomes e and an accent, which is dropped.
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_LONGEST_SLUG].strip("-")


def _in_words(message: str, raw: dict[Any, Any]) -> str:
    """Say what msgspec says, for somebody who writes YAML."""
    if found := re.search(r"unknown field `(.*)`", message):
        known = ", ".join(field.name for field in msgspec.structs.fields(Entry))
        return f"{found[1]}: There is no such field. There are {known}."
    if found := re.search(r"missing required field `(\w+)`", message):
        return f"{found[1]}: It is missing. Every entry has one."
    if found := re.fullmatch(r"Expected `str`, got `(\w+)` - at `\$\.(\w+)`", message):
        kind, field = found.groups()
        if kind == "null":
            return f"{field}: It is empty. Give it a text, or leave the field out."
        what = _YAML_NAMES.get(kind, kind)
        return f"{field}: This is {what}, and not a text. Put a text into quotes."
    odd = next((key for key in raw if not isinstance(key, str)), "")
    return f"{odd}: The names of fields are texts. {message}."
