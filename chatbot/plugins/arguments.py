"""The parser of one command's arguments, compiled once from its handler's signature.

Words are taken in the order of the parameters. Quotes keep words together; `Rest` takes what is
left as it was typed; a list takes words as long as they convert and later parameters have theirs;
`T | None` that does not convert is passed over. Keyword-only parameters are options: `--name
value`, `--name=value`, or just `--name` for a bool. They may stand anywhere, but before a `Rest`
only at the front; `--` ends them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chatbot.plugins.context import Context
from chatbot.plugins.conversion import Converter
from chatbot.plugins.errors import BadArgument, DeclarationError, UnknownTypeError, UsageError
from chatbot.plugins.markers import Range, Rest
from chatbot.plugins.parameters import Argument, Parameter, build_argument
from chatbot.plugins.text import check_text, quoted
from chatbot.plugins.tokens import Token, Tokens


@dataclass(frozen=True, slots=True)
class ArgumentParser:
    """Reads a command's arguments.

    Attributes:
        positional: in order.
        options: by parameter name.
    """

    positional: tuple[Argument, ...] = ()
    options: Mapping[str, Argument] = field(default_factory=dict)

    @property
    def usage(self) -> str:
        """All of them on one line, empty where there are none."""
        return " ".join(a.usage() for a in (*self.options.values(), *self.positional))

    def describe(self) -> tuple[str, ...]:
        """One line of help for each."""
        return tuple(a.describe() for a in (*self.positional, *self.options.values()))

    async def parse(self, text: str, ctx: Context) -> dict[str, Any]:
        """Read everything that was typed behind the command's name, by parameter name.

        The time is linear in the length of `text`, but for what converters do.

        Raises:
            UsageError: something is missing, wrong or too much (`BadArgument` names the
                parameter); the text is safe to answer with.
        """
        check_text(text)
        tokens = Tokens(text)
        values = await self._take_options(tokens, ctx) if self.options else {}
        for place, argument in enumerate(self.positional):
            values[argument.name] = await self._take(argument, tokens, ctx, place)
        if (extra := tokens.peek()) is not None:
            raise UsageError(f"too many arguments\ngot: {quoted(extra.text)}")
        return values

    async def _take(self, argument: Argument, tokens: Tokens, ctx: Context, place: int) -> Any:
        if argument.rest:
            return await _take_rest(argument, tokens, ctx)
        later = self.positional[place + 1 :]
        if argument.many is not None:
            return await _take_many(argument, argument.many, tokens, ctx, later)
        if (token := tokens.peek()) is None:
            return _absent(argument)
        try:
            return await _take_one(argument.converter, tokens, ctx)
        except ValueError:
            if argument.skips and later:
                return argument.default
            raise _bad(argument, token.text) from None

    async def _take_options(self, tokens: Tokens, ctx: Context) -> dict[str, Any]:
        typed = await self._typed_options(tokens, ctx)
        return {
            name: typed[option.name] if option.name in typed else _absent(option)
            for name, option in self.options.items()
        }

    async def _typed_options(self, tokens: Tokens, ctx: Context) -> dict[str, Any]:
        known = {option.name: option for option in self.options.values()}
        front_only = any(argument.rest for argument in self.positional)
        found: dict[str, Any] = {}
        place = 0
        while (token := tokens.peek(place)) is not None and not _ends_options(token):
            if not token.quoted and token.text.startswith("--"):
                tokens.drop(place)
                option, value = _match_option(token.text, known, found)
                typed = _following(option, tokens, place) if value is None else value
                found[option.name] = option.flag or await _converted(option, typed, ctx)
            elif front_only:
                return found
            else:
                place += 1
        if token is not None:
            tokens.drop(place)
        return found


def _ends_options(token: Token) -> bool:
    return token.text == "--" and not token.quoted


def _match_option(
    text: str, known: Mapping[str, Argument], found: Mapping[str, Any]
) -> tuple[Argument, str | None]:
    """The option that a word names, and its value where one stands in the word itself."""
    name, equals, value = text.partition("=")
    option = known.get(name.casefold())
    if option is None or option.name in found or (option.flag and equals):
        raise UsageError(f"unusable option\ngot: {quoted(text)}")
    return option, value if equals or option.flag else None


def compile_parser(
    parameters: Sequence[Parameter],
    custom: Mapping[object, Converter],
    available: str = "see the reference",
) -> ArgumentParser:
    """The parser for `parameters`.

    Args:
        parameters: those that are not injected.
        custom: converters of plugins by type.
        available: what there is instead of an unknown type, for its error.

    Raises:
        DeclarationError: one argument of the error for each parameter that cannot be read.
    """
    built: dict[str, Argument] = {}
    wrong: list[str] = []
    for parameter in parameters:
        try:
            built[parameter.name] = build_argument(parameter, custom)
        except UnknownTypeError as error:
            wrong.append(f"parameter {parameter.name!r}: {error} ({available})")
        except DeclarationError as error:
            wrong.append(f"parameter {parameter.name!r}: {error}")
    positional = tuple(built[p.name] for p in parameters if p.name in built and p.kind != "option")
    wrong += _shape_problems(positional)
    if wrong:
        raise DeclarationError(*wrong)
    return ArgumentParser(
        positional, {p.name: built[p.name] for p in parameters if p.kind == "option"}
    )


def compile_answer(kind: Any, custom: Mapping[object, Converter]) -> ArgumentParser:
    """The parser for an answer to `ctx.ask`: one value, a `str` being the whole text.

    Raises:
        DeclarationError: nothing reads `kind`.
    """
    hint = Rest if kind is str else kind
    return compile_parser([Parameter("answer", "positional", hint)], custom)


def _shape_problems(positional: tuple[Argument, ...]) -> list[str]:
    return [
        f"parameter {argument.name!r}: nothing can come behind the rest of the line"
        for argument in positional[:-1]
        if argument.rest
    ]


def _absent(argument: Argument) -> Any:
    if argument.required:
        raise BadArgument(argument.name, got=None, expected=argument.expected)
    return argument.default


def _bad(argument: Argument, text: str) -> BadArgument:
    return BadArgument(argument.name, got=quoted(text), expected=argument.expected)


async def _converted(argument: Argument, text: str, ctx: Context) -> Any:
    try:
        return await argument.converter.read(text, ctx)
    except ValueError:
        raise _bad(argument, text) from None


async def _take_one(converter: Converter, tokens: Tokens, ctx: Context) -> Any:
    """Read the next word, or the next two where they belong together; take them if it worked."""
    token = tokens.front()
    if converter.words > 1 and (phrase := _phrase(token, tokens.peek(1))) is not None:
        try:
            value = await converter.read(phrase, ctx)
        except ValueError:
            pass  # the second word was not part of it
        else:
            tokens.drop()
            tokens.drop()
            return value
    value = await converter.read(token.text, ctx)
    tokens.drop()
    return value


def _phrase(first: Token, second: Token | None) -> str | None:
    if second is None or first.quoted or second.quoted:
        return None
    return f"{first.text} {second.text}"


async def _take_rest(argument: Argument, tokens: Tokens, ctx: Context) -> Any:
    text = tokens.rest()
    return await _converted(argument, text, ctx) if text else _absent(argument)


async def _take_many(
    argument: Argument, count: Range, tokens: Tokens, ctx: Context, later: tuple[Argument, ...]
) -> Any:
    kept_back = sum(other.required for other in later)
    taken: list[Any] = []
    while len(taken) < count.maximum and tokens.peek(kept_back) is not None:
        try:
            taken.append(await _take_one(argument.converter, tokens, ctx))
        except ValueError:
            if not later:
                raise _bad(argument, tokens.front().text) from None
            break
    if not taken:
        return _absent(argument)
    if len(taken) < count.minimum:
        expected = f"{argument.converter.expected}, at least {count.minimum} times"
        raise BadArgument(argument.name, got=f"{len(taken)}", expected=expected)
    return taken


def _following(option: Argument, tokens: Tokens, place: int) -> str:
    token = tokens.peek(place)
    if token is None:
        raise BadArgument(option.name, got=None, expected=option.expected)
    if not token.closed:
        raise UsageError("a quotation mark is not closed")
    tokens.drop(place)
    return token.text
