"""Removes passwords and tokens from text before it is shown, logged, stored or counted.

People paste addresses such as ``https://user:password@host/`` and ``…?private_token=…``, and git,
HTTP clients and databases repeat them in their errors. `redact` works on any text. If the whole
text is one address, `redact_address` finds more.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

__all__ = ["HIDDEN", "redact", "redact_address", "split_credentials", "without_credentials"]

HIDDEN = "***"
"""Replaces a secret."""

# Attack: a text full of secrets takes long to redact. The text after this many is cut off.
_MOST_SECRETS = 1000

# All patterns take linear time: no two attempts scan the same text. The last group of a match is
# the secret.

# A quotation mark ends an address only where a string ends: passwords may have them.
_QUOTE = r'"(?![,:}\]\s]|\Z)'
_USERINFO = re.compile(
    # https://user:password@host, up to the last @ before the path (RFC 3986, section 3.2).
    rf':(?://(?<!ssh://)((?:(?:[^@/?#\s"]++|{_QUOTE})*+@)++)'
    # https://user:pass/word@host, which is not quoted properly. But not host:8080/@name.
    r"""|//(?<!ssh://)([^:@/?#\s]*+:(?!\d*+(?:[/?#\s"',)]|\Z))[^:@\s]*+@)"""
    # Over ssh, a user without a password (git@) is no secret.
    r"|//(?<=ssh://)([^:@/?#\s]*+:[^:@\s]*+@)"
    # user:password@host:path and user:password@host/path. But not image:tag@sha256:…
    r"""|(?<=[\w.+-]:)(?<!mailto:)([^\s:/@"']++@)(?=(?!sha\d)[\w.-]++[:/]))"""
)
# The same in an address that is part of another one, quoted once (%3A) or more often (%253A). All
# characters of an address are quoted equally often.
_COLON = r"(?::|%(?P=n)3[Aa])"
_AT = r"(?:@|%*%(?P=n)40)"
_NO_AT = r"[^%@/?#&\s]*+(?:%++(?!(?P=n)(?:[23][Ff]|23|40))[^%@/?#&\s]*+)*+"
_NO_PORT = r"(?!\d*+(?:%(?P=n)(?:[23][Ff]|23)|[/?#&\s]|\Z))"
_PASSWORD = rf"[^:%@/?#&\s]*+(?:%++(?!(?P=n)(?:3[Aa]|40))[^:%@/?#&\s]*+)*+{_AT}"
_QUOTED_USERINFO = re.compile(
    r"%(?P<n>(?:25)*+)(?:"
    rf"2[Ff]%(?P=n)2[Ff](?<!ssh%3[Aa]%2[Ff]%2[Ff])((?:{_NO_AT}{_AT})++)"
    rf"|2[Ff]%(?P=n)2[Ff](?<!ssh%3[Aa]%2[Ff]%2[Ff])([^:%@/?#&\s]*+{_COLON}{_NO_PORT}{_PASSWORD})"
    rf"|2[Ff]%(?P=n)2[Ff](?<=ssh%3[Aa]%2[Ff]%2[Ff])([^:%@/?#&\s]*+{_COLON}{_PASSWORD})"
    r"|3[Aa](?:(?<=[\w.+-]%3[Aa])|(?<=[\w.+-]%253[Aa])|(?<=[\w.+-]%25253[Aa]))"
    r"((?:[^\s:/@&=%]++|%(?!(?P=n)(?:2[Ff]|3[Aa]|40)))++%(?P=n)40)"
    r"(?=[\w.-]++(?::|/|%(?P=n)(?:3[Aa]|2[Ff]))))"
)

_VALUE = r'(?:=([^&#;\s"<>]++)|%(?:25)*+3d([^&#;\s"<>/]++))'
# Except our own advice, which has an ellipsis instead of the token: `Authorization: token …`.
_HEADER = r"""["']?\s?:\s?["']?(?!\w++\s…)([^\s"'`][^\r\n"'`]*+)"""


def _is_parameter(word: str) -> str:
    return rf"{word}(?:(?<=[?&#;]{word})|(?<=3[fb]{word})|(?<=2[36]{word}))"


# With any prefix: job_token, X-Amz-Signature.
_NAMES = [
    *("token", "secret", "password", "passwd", "passphrase", "signature", "credentials?"),
    *("api[_-]?key", "access[_-]?key(?:[_-]?id)?", "private[_-]?key"),
]
# Common words: secret only as parameters of an address.
_PARAMETERS = ["key", "code", "auth", "sig", "pass", "pwd", "jwt"]
_HEADERS = ["authorization", "private-token", "job-token", "auth-token", "api-key", "cookie"]
_PATTERNS = [
    *(f"{name}{_VALUE}" for name in _NAMES),
    *(f"{_is_parameter(word)}{_VALUE}" for word in _PARAMETERS),
    *(f"{name}{_HEADER}" for name in _HEADERS),
    r"bearer\s([\w.~+/=-]{8,}+)",
    # Tokens of GitHub, GitLab, Slack, AWS, PyPI, npm and Hugging Face.
    r"gh[oprsu]_(\w{16,}+)",
    r"github_pat_(\w{16,}+)",
    r"gl(?:dt|ffct|imt|oas|pat|ptt|rt|soat)-([\w.-]{16,}+)",
    r"xox[a-z]-([\w-]{10,}+)",
    r"a[ks]ia([0-9a-z]{16})",
    r"pypi-age(\w[\w-]{15,}+)",
    r"npm_([0-9a-z]{36})",
    r"hf_([0-9a-z]{30,}+)",
]


def _by_first_letter(patterns: list[str]) -> str:
    """Return one pattern for all, which has each first letter once: it is twice as fast."""
    rest: dict[str, list[str]] = {}
    for pattern in patterns:
        rest.setdefault(pattern[0], []).append(pattern[1:])
    return "|".join(f"{letter}(?:{'|'.join(others)})" for letter, others in rest.items())


# For text in lower case: with IGNORECASE, `re` would not skip to the next possible match.
_SECRETS = re.compile(_by_first_letter(_PATTERNS))


def redact(text: str) -> str:
    """Return `text` with `HIDDEN` in place of passwords and tokens.

    It replaces the user and password in addresses, also in percent-encoded ones; parameters with
    names such as ``token``; ``Authorization`` and similar headers; and tokens with a known prefix.
    Redacting twice changes nothing.

    Parameters
    ----------
    text : str
        Any text. The time is linear: about 50 to 100 ns per character of the most hostile text.
    """
    lowered = text.lower()
    if len(lowered) != len(text):
        # Capital I with a dot becomes two characters.
        lowered = text.replace("\u0130", "i").lower()
    text = _hide(_SECRETS, text, lowered, HIDDEN)
    if "@" in text:
        text = _hide(_USERINFO, text, text, f"{HIDDEN}@")
    if "%" in text:
        text = _hide(_QUOTED_USERINFO, text, text, f"{HIDDEN}%40")
    return text


def _hide(pattern: re.Pattern[str], text: str, searched: str, hidden: str) -> str:
    """Return `text` with `hidden` wherever `pattern` matches in `searched`, which is as long."""
    parts = []
    end = 0
    for match in pattern.finditer(searched):
        start, after = match.span(match.lastindex or 0)
        parts += [text[end:start], hidden]
        end = after
        if len(parts) >= 2 * _MOST_SECRETS:
            return "".join([*parts, "…"])
    return "".join([*parts, text[end:]]) if parts else text


def redact_address(address: str) -> str:
    """Redact an address that was rejected and may be malformed.

    Everything up to the last ``@`` is treated as a user and a password, unless it is only a user,
    as in ``git@host:path``.
    """
    head, at, rest = address.rpartition("@")
    scheme, separator, userinfo = head.partition("://")
    if at and separator and (scheme.lower() != "ssh" or ":" in userinfo):
        address = f"{scheme}://{HIDDEN}@{rest}"
    elif at and not separator and ":" in head:
        address = f"{HIDDEN}@{rest}"
    return redact(address)


def without_credentials(url: str) -> str:
    """Return an address without its user and password; see `split_credentials`."""
    return split_credentials(url)[0]


def split_credentials(url: str) -> tuple[str, str, str]:
    """Split an address from its user and password.

    Parameters
    ----------
    url : str
        An address such as ``https://user:password@host/``. Its query is not changed.

    Returns
    -------
    url, user, password : str
        The address without user and password, and these two unquoted; empty if missing.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url, "", ""
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    userinfo, _, host = authority.rpartition("@")
    user, _, password = userinfo.partition(":")
    return f"{scheme}://{host}{rest[len(authority) :]}", unquote(user), unquote(password)
