"""The hosts that a text leads to, and whether they are allowed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Final

# Without a scheme only names below these count: "main.py" and "e.g" are no links.
_TOP: Final = (
    "com|net|org|info|biz|io|co|me|gg|ru|cn|xyz|top|site|online|shop|club|link|live|app|dev|tk|"
    "de|uk|fr|nl|eu|us|ly|cc|tv|to|be"
)
_WITH_SCHEME: Final = re.compile(r"(?:[a-z][a-z0-9+.-]{0,20}://|www\.)[^\s<>\"]+")
_BARE: Final = re.compile(rf"(?<![\w@.-])(?:[\w-]{{1,63}}\.){{1,8}}(?:{_TOP})(?![\w-])")
_AUTHORITY_ENDS: Final = re.compile(r"[/\\?#]")
_INVISIBLE: Final = frozenset({"Cf", "Mn"})


def hosts(text: str) -> tuple[str, ...]:
    """Every host that the text links to, in lower case, in order of their finding.

    What pretends to be another is told apart: in `https://good.example@evil.example` the host is
    the last, and look-alike letters stay what they are.
    """
    plain = _plain(text)
    found = [_host(match) for match in _WITH_SCHEME.findall(plain)]
    found += _BARE.findall(_WITH_SCHEME.sub(" ", plain))
    return tuple(dict.fromkeys(host for host in found if host))


def forbidden(text: str, allowed: Collection[str]) -> str | None:
    """The first host in the text that is neither allowed nor below one that is."""
    return next((host for host in hosts(text) if not _is_below(host, allowed)), None)


def normal_host(text: str) -> str | None:
    """How a host is listed that somebody typed, perhaps as an address; None where it is none."""
    plain = _plain(text.strip())
    host = _host(plain if "://" in plain else f"http://{plain}")
    return host if re.fullmatch(r"[\w-]+(?:\.[\w-]+)*", host) else None


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u3002", ".")
    return "".join(c for c in folded if unicodedata.category(c) not in _INVISIBLE)


def _host(link: str) -> str:
    """As a browser reads it: a backslash is a slash, and what is before the last @ is no host."""
    behind = link.partition("://")[2] if "://" in link else link
    authority = _AUTHORITY_ENDS.split(behind.lstrip("/\\"), maxsplit=1)[0]
    host = authority.rpartition("@")[2].partition(":")[0]
    return host.strip(".,;!)('").removeprefix("www.")


def _is_below(host: str, allowed: Collection[str]) -> bool:
    labels = host.split(".")
    return any(".".join(labels[at:]) in allowed for at in range(len(labels)))
