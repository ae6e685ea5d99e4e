"""Operations between two processes: a line of JSON there, a line of JSON back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
from msgspec import Raw, Struct

from chatbot.client import exceptions
from chatbot.client.exceptions import StorageError, WhatsAppClientError
from chatbot.runtime.control import endpoint
from chatbot.runtime.control.endpoint import SERVER, Streams
from chatbot.runtime.control.operations import AnyOperation, Operation
from chatbot.runtime.control.target import Target

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Answer(Struct, frozen=True, omit_defaults=True):
    """What an operation gave, or the error that it ended with.

    Attributes:
        result: JSON.
        error: the name of an exception of the client's, or none.
        message: what the exception says.
    """

    result: Raw = Raw(b"null")
    error: str = ""
    message: str = ""


class ControlServer:
    """Lets others operate a running bot, between `async with` and its end."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._directory = target.account.path
        self._connections: dict[asyncio.StreamWriter, asyncio.Future[None]] = {}

    async def __aenter__(self) -> Self:
        try:
            self._server, self._key = await endpoint.listen(self._directory, self._serve)
        except OSError as error:
            raise StorageError(
                f"the control socket in {self._directory} cannot be made: {error.strerror}. "
                "What to do: make the folder writable"
            ) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        endpoint.withdraw(self._directory)
        self._server.close()
        for writer in self._connections:
            writer.transport.abort()  # whoever reads or writes ends; an operation is done first
        await asyncio.gather(*self._connections.values())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = self._connections[writer] = asyncio.get_running_loop().create_future()
        try:
            if self._key is None or await endpoint.prove((reader, writer), self._key, SERVER):
                await self._converse(reader, writer)
        except (OSError, ValueError) as error:
            logger.debug("a control connection ended: %s", error)
        finally:
            del self._connections[writer]
            ended.set_result(None)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
            await writer.drain()

    async def _answer(self, line: bytes) -> Answer:
        try:
            operation = msgspec.json.decode(line, type=AnyOperation)
            result = await operation.run(self._target)
        except msgspec.DecodeError as error:
            return Answer(
                error="ValidationError",
                message=f"the bot does not know this operation: {error}. What to do: run the same"
                " version of chatbot as the bot",
            )
        except WhatsAppClientError as error:
            return Answer(error=type(error).__name__, message=str(error))
        except Exception:
            logger.exception("an operation failed: %s", type(operation).__name__)
            return Answer(error="WhatsAppClientError", message="the bot failed: see its log")
        return Answer(result=Raw(msgspec.json.encode(result)))


class RunningTarget:
    """A bot that runs in another process."""

    def __init__(self, streams: Streams) -> None:
        self._reader, self._writer = streams

    async def do(self, operation: Operation[T]) -> T:
        """Have the bot do something.

        Raises:
            WhatsAppClientError: it cannot be done; the class and the message are the bot's.
            StorageError: the bot stopped meanwhile.
        """
        try:
            self._writer.write(msgspec.json.encode(operation) + b"\n")
            await self._writer.drain()
            line = await self._reader.readline()
        except OSError as error:
            raise _broken_off() from error
        if not line.endswith(b"\n"):
            raise _broken_off()
        answer = msgspec.json.decode(line, type=Answer)
        if answer.error:
            raise _error(answer)
        result: T = msgspec.json.decode(answer.result, type=operation.result)
        return result


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[RunningTarget | None]:
    """The bot that runs on an account's folder, or None.

    Raises:
        StorageError: the folder cannot be read.
    """
    try:
        streams = await endpoint.connect(directory)
    except OSError as error:
        raise StorageError(f"{directory}: {error.strerror}") from error
    if streams is None:
        yield None
        return
    try:
        yield RunningTarget(streams)
    finally:
        _, writer = streams
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _error(answer: Answer) -> WhatsAppClientError:
    kind = getattr(exceptions, answer.error, None)
    if isinstance(kind, type) and issubclass(kind, WhatsAppClientError):
        return kind(answer.message)
    return WhatsAppClientError(answer.message)


def _broken_off() -> StorageError:
    return StorageError("the bot stopped before it answered. What to do: try again")
