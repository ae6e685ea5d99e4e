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
from typing import TYPE_CHECKING, Any, Final

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
    names = tuple(part for part in location if isinstance(part, str))
    return SettingsProblem(
        source=variables.get(names, str(file)),
        key=_dotted(location),
        message=_message(details, names, model),
    )


def _message(details: ErrorDetails, names: tuple[str, ...], model: type[BaseModel]) -> str:
    match details["type"]:
        case "extra_forbidden":
            return _unknown(names[-1], list(_keys(model, names[:-1])))
        case "missing":
            return f"missing; expected {_keys(model, names[:-1])[names[-1]].description}"
        case "value_error":
            return str(details["ctx"]["error"])
    fallback = _SENTENCE.sub("", details["msg"])
    expected = _EXPECTED.get(details["type"], fallback)
    return f"expected {expected}, got {_shown(names, details['input'])}"


def _unknown(name: str, known: Sequence[str]) -> str:
    if _SECRET.search(name):
        return "unknown key; a password belongs in a file of its own, see password_file"
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
    return f"unknown key; {meant}"


def _shown(names: tuple[str, ...], value: Any) -> str:
    match value:
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
    """Return the keys of the section at `names`; none where it is not a plain section."""
    fields: Mapping[str, FieldInfo] = getattr(model, "model_fields", {})
    keys = {field.alias or name: field for name, field in fields.items()}
    return _keys(keys[names[0]].annotation, names[1:]) if names else keys
