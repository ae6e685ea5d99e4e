"""What is wrong with a config.toml, all of it at once and in words; no value of a secret is shown.

Nothing of pydantic is imported here, so that the command line can name the error cheaply.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_LONGEST_SHOWN: Final = 60
_SECRET: Final = re.compile(r"pass|secret|token|credential|api_?key", re.IGNORECASE)

_SENTENCE: Final = re.compile(r"^\w+ should (be|have) ")
"""How pydantic begins what it expects."""

_EXPECTED: Final = MappingProxyType(
    {
        "bool_parsing": "true or false",
        "bool_type": "true or false",
        "dict_type": "a table",
        "float_parsing": "a number",
        "float_type": "a number",
        "int_from_float": "a whole number",
        "int_parsing": "a whole number",
        "int_type": "a whole number",
        "model_type": "a table",
        "path_type": "a path",
        "string_type": "a string",
        "tuple_type": "an array",
        "zoneinfo_str": 'a time zone such as "Europe/Berlin"',
    }
)


@dataclass(frozen=True, slots=True)
class SettingsProblem:
    """One thing that is wrong.

    Attributes:
        source: the file, or the environment variable that replaces the file's value.
        key: the dotted path of the key; empty where the file as a whole is meant.
    """

    source: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.key, self.message) if part)


class SettingsError(Exception):
    """The configuration cannot be used; the text has one line for each problem."""

    def __init__(self, problems: Sequence[SettingsProblem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def explain(
    details: ErrorDetails,
    model: type[BaseModel],
    *,
    file: Path,
    variables: Mapping[tuple[str, ...], str],
) -> SettingsProblem:
    """Put one of pydantic's findings into words.

    Args:
        model: what was validated, to name the keys that there are.
        variables: which environment variable gave the value of a key.
    """
    location = details["loc"]
    names = _names(location)
    return SettingsProblem(
        source=variables.get(names, str(file)),
        key=_dotted(location),
        message=in_words(details, model),
    )


def in_words(details: ErrorDetails, model: type[BaseModel], *, show: bool = True) -> str:
    """Say what pydantic has found.

    Args:
        details: one of its findings.
        model: what was validated, to name the keys that there are.
        show: say what was given, but for what looks like a secret by its name.
    """
    names = _names(details["loc"])
    match details["type"]:
        case "extra_forbidden":
            return _unknown(names[-1], list(_keys(model, names[:-1])))
        case "missing":
            return f"missing; expected {_wanted(model, names)}"
        case "value_error":
            return str(details["ctx"]["error"])
    fallback = _SENTENCE.sub("", details["msg"])
    expected = f"expected {_EXPECTED.get(details['type'], fallback)}"
    return f"{expected}, got {_shown(names, details['input'])}" if show else expected


def _names(location: Sequence[str | int]) -> tuple[str, ...]:
    return tuple(part for part in location if isinstance(part, str))


def _wanted(model: type[BaseModel], names: Sequence[str]) -> str:
    field = _keys(model, names[:-1]).get(names[-1])
    return (field and field.description) or "a value"


def _unknown(name: str, known: Sequence[str]) -> str:
    if _SECRET.search(name):
        return "unknown key; a password belongs in a file of its own, see password_file"
    if close := difflib.get_close_matches(name, known, n=1):
        return f"unknown key; did you mean {close[0]}?"
    return f"unknown key; expected one of {', '.join(known)}" if known else "unknown key"


def _shown(names: tuple[str, ...], value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "a table"
        case list() | tuple():
            return "an array"
        case _ if any(map(_SECRET.search, names)):
            return "something else (not shown)"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _dotted(location: Sequence[str | int]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def _keys(model: object, names: Sequence[str]) -> dict[str, FieldInfo]:
    """Return the keys of the section at `names`; none where no model describes it."""
    fields: Mapping[str, FieldInfo] | None = getattr(model, "model_fields", None)
    if fields is None:  # a list of sections, or one that may be left out
        return next((keys for part in get_args(model) if (keys := _keys(part, names))), {})
    keys = {field.alias or name: field for name, field in fields.items()}
    if not names:
        return keys
    return _keys(keys[names[0]].annotation, names[1:]) if names[0] in keys else {}
