"""What a handler's signature says, and the arguments that are read for it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import Any, Final, Literal, TypeAlias, get_args, get_origin, get_type_hints

from chatbot.plugins.annotations import Hint, converter_for, take_apart, type_name
from chatbot.plugins.conversion import Converter
from chatbot.plugins.errors import DeclarationError
from chatbot.plugins.markers import Range, RestMarker
from chatbot.plugins.source import underlying
from chatbot.plugins.text import sanitise

MISSING: Final = inspect.Parameter.empty
MAX_LIST: Final = 100
"""How many words one `list[...]` takes at most."""

Kind: TypeAlias = Literal["positional", "spread", "option"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a handler.

    Attributes:
        kind: `spread` is `*names`, `option` is keyword-only.
        hint: its annotation, resolved, with what `Annotated` adds.
        default: `MISSING` where there is none.
    """

    name: str
    kind: Kind
    hint: Any
    default: Any = field(default=MISSING, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """A parameter that is read from what was typed.

    Attributes:
        default: the value where nothing was typed; `MISSING` where something must be.
        skips: a word that does not convert is left to the next parameter (`T | None`).
        many: how many words it takes, None for an ordinary one.
        rest: it takes the rest of the line as it was typed.
        flag: an option without a value.
    """

    name: str
    converter: Converter
    default: Any = MISSING
    skips: bool = False
    many: Range | None = None
    rest: bool = False
    flag: bool = False
    note: str = ""

    @property
    def required(self) -> bool:
        """Whether something must be typed for it."""
        return self.default is MISSING

    @property
    def expected(self) -> str:
        """What belongs there, in words."""
        return (
            f"one or more of: {self.converter.expected}" if self.many else self.converter.expected
        )

    def usage(self) -> str:
        """How it looks in a usage line: `<sides>`, `[count=1]`, `<on|off>`, `[--for=<time>]`."""
        if self.name.startswith("--"):
            shown = self.name if self.flag else f"{self.name}=<{self._value_name}>"
            return shown if self.required else f"[{shown}]"
        shown = self._value_name + ("…" if self.many or self.rest else "")
        if self.required:
            return f"<{shown}>"
        default = shown_default(self.default)
        return f"[{shown}={default}]" if default else f"[{shown}]"

    @property
    def _value_name(self) -> str:
        choices = self.converter.choices
        return "|".join(choices) if 0 < len(choices) <= _SHOWN_CHOICES else self.name.lstrip("-")

    def describe(self) -> str:
        """Its line in a command's help."""
        shown = "" if self.required else shown_default(self.default)
        default = f" (default {shown})" if shown else ""
        note = f": {self.note}" if self.note else ""
        return f"{self.name}{note} - {self.expected}{default}"


_SHOWN_CHOICES: Final = 6


def shown_default(default: Any) -> str:
    """A default as a person would type it; empty for those that mean "nothing"."""
    if default is None or default is False or default in ("", (), []):
        return ""
    if isinstance(default, Enum):
        return default.name.lower().replace("_", "-")
    return sanitise("yes" if default is True else str(default))


def read_signature(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The parameters of a function, bound method, partial or callable object.

    Raises:
        DeclarationError: an annotation is missing or cannot be resolved, or a parameter takes
            any keyword; one argument of the error for each.
    """
    hints = _hints(underlying(function))
    parameters = inspect.signature(function).parameters.values()
    wrong = [problem for p in parameters if (problem := _problem(p, hints)) is not None]
    if wrong:
        raise DeclarationError(*wrong)
    return tuple(Parameter(p.name, _KINDS[p.kind], hints[p.name], p.default) for p in parameters)


_KINDS: Final[Mapping[Any, Kind]] = MappingProxyType(
    {
        inspect.Parameter.POSITIONAL_ONLY: "positional",
        inspect.Parameter.POSITIONAL_OR_KEYWORD: "positional",
        inspect.Parameter.VAR_POSITIONAL: "spread",
        inspect.Parameter.KEYWORD_ONLY: "option",
    }
)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters' annotations, resolved; what is returned need not exist at run time."""
    try:
        written = {n: a for n, a in inspect.get_annotations(function).items() if n != "return"}
        only_parameters = SimpleNamespace(__annotations__=written)
        names = getattr(function, "__globals__", {})
        return get_type_hints(only_parameters, names, include_extras=True)
    except NameError as error:
        raise DeclarationError(
            f"{function.__qualname__}: the annotation {error.name!r} names nothing at run time "
            f"(is it imported under TYPE_CHECKING only, or local to a function?)"
        ) from error
    except (TypeError, SyntaxError, AttributeError) as error:
        raise DeclarationError(f"{function.__qualname__}: bad annotation: {error}") from error


def _problem(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> str | None:
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return f"parameter '**{parameter.name}' cannot be filled from a message"
    if parameter.name not in hints:
        return f"parameter {parameter.name!r} has no annotation"
    return None


def build_argument(parameter: Parameter, custom: Mapping[object, Converter]) -> Argument:
    """How `parameter` is read.

    Raises:
        DeclarationError: nothing reads its type, or its shape makes no sense.
    """
    hint = take_apart(parameter.hint)
    if parameter.kind == "option":
        return _option(parameter, hint, custom)
    if parameter.kind == "spread":
        return _many(parameter, hint, parameter.hint, Range(), custom)
    if hint.core is list or get_origin(hint.core) is list:
        count = next((mark for mark in hint.marks if isinstance(mark, Range)), Range())
        return _many(parameter, hint, _element(hint), count, custom)
    return Argument(
        name=parameter.name,
        converter=converter_for(parameter.hint, custom),
        default=_default(parameter, hint),
        skips=hint.optional,
        rest=_is_rest(hint),
        note=_note(hint),
    )


def _many(
    parameter: Parameter,
    hint: Hint,
    element: Any,
    count: Range,
    custom: Mapping[object, Converter],
) -> Argument:
    return Argument(
        name=parameter.name,
        converter=converter_for(element, custom),
        default=_default(parameter, hint),
        many=Range(max(count.minimum or 1, 1), min(count.maximum or MAX_LIST, MAX_LIST)),
        note=_note(hint),
    )


def _element(hint: Hint) -> Any:
    if hint.core is list:
        raise DeclarationError("a list needs the type of its elements: list[str]")
    return get_args(hint.core)[0]


def _option(parameter: Parameter, hint: Hint, custom: Mapping[object, Converter]) -> Argument:
    flag = hint.core is bool
    if flag and parameter.default is not False:
        raise DeclarationError("an option of type bool is a flag: its default must be False")
    if _is_rest(hint) or get_origin(hint.core) is list:
        raise DeclarationError(f"an option takes one word, not {type_name(parameter.hint)}")
    return Argument(
        name=f"--{parameter.name.replace('_', '-')}",
        converter=converter_for(parameter.hint, custom),
        default=_default(parameter, hint),
        flag=flag,
        note=_note(hint),
    )


def _default(parameter: Parameter, hint: Hint) -> Any:
    if parameter.default is not MISSING:
        return parameter.default
    if parameter.kind == "spread":
        return ()
    return None if hint.optional else MISSING


def _is_rest(hint: Hint) -> bool:
    return any(isinstance(mark, RestMarker) for mark in hint.marks)


def _note(hint: Hint) -> str:
    return next((mark for mark in hint.marks if isinstance(mark, str)), "")
