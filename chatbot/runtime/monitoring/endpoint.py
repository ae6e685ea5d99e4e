"""The HTTP endpoint of a running bot: `/healthz`, `/readyz`, `/metrics`.

Everything needs the token, as `Authorization: Bearer …`. Beyond this machine it speaks TLS only.
"""

from __future__ import annotations

import hmac
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from aiohttp import web
from aiohttp.typedefs import Handler

from chatbot.client.exceptions import ConnectionError, StorageError, ValidationError
from chatbot.client.transport.security import is_loopback
from chatbot.runtime.metrics import Metrics

from .exposition import CONTENT_TYPE, exposition
from .gauges import Gauges

SHUTDOWN_SECONDS: Final = 1.0
"""How long requests under way may take when the bot stops."""

_MAX_BODY: Final = 1024


class Monitored(Protocol):
    """A bot, as this endpoint sees it."""

    metrics: Metrics

    @property
    def healthy(self) -> bool:
        """Whether it can go on: its files can be written."""

    async def gauges(self) -> Gauges | None:
        """How it is now; None while it is starting or stopping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions:
    """Where to listen, and to whom.

    Attributes:
        token: what has to be shown; not empty.
        certificate, key: PEM files; both or neither. Without, only this machine is listened to.
    """

    port: int
    token: str = field(repr=False)
    host: str = "127.0.0.1"
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what would be readable by everybody on the way.

        Raises:
            ValidationError: no token, half a key pair, or clear text beyond this machine.
        """
        if not self.token:
            raise ValidationError("The HTTP endpoint needs a token that is not empty")
        if (self.certificate is None) != (self.key is None):
            raise ValidationError("A certificate and its key come together, or not at all")
        if self.certificate is None and not is_loopback(self.host):
            raise ValidationError(f"{self.host} is beyond this machine: that needs a certificate")


class MonitoringEndpoint:
    """Serves while it is entered. An async context manager.

    Attributes:
        url: where, once it is entered.
    """

    url: str

    def __init__(self, bot: Monitored, options: EndpointOptions) -> None:
        self._bot = bot
        self._options = options
        application = web.Application(client_max_size=_MAX_BODY, middlewares=[self._authorize])
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/readyz", self._readiness)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, handle_signals=False
        )

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            ConnectionError: the port is taken, or not ours to take.
            StorageError: the certificate or its key cannot be read.
        """
        options, context = self._options, self._tls()
        await self._runner.setup()
        site = web.TCPSite(self._runner, options.host, options.port, ssl_context=context)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConnectionError(
                f"The HTTP endpoint cannot listen on {options.host}:{options.port}: "
                f"{error.strerror}. What to do: choose another port in [http], or stop what has it"
            ) from error
        host = f"[{options.host}]" if ":" in options.host else options.host
        port = self._runner.addresses[0][1]
        self.url = f"{'http' if context is None else 'https'}://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    def _tls(self) -> ssl.SSLContext | None:
        options = self._options
        if options.certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(options.certificate, options.key)
        except OSError as error:
            raise StorageError(
                f"The certificate {options.certificate} or its key {options.key} cannot be used: "
                f"{error.strerror or error}"
            ) from error
        return context

    # ------------------------------------------------------------ requests

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        expected = f"Bearer {self._options.token}".encode()
        if not hmac.compare_digest(given, expected):
            return web.Response(
                status=401, text="unauthorized\n", headers={"WWW-Authenticate": "Bearer"}
            )
        return await handler(request)

    async def _health(self, _request: web.Request) -> web.Response:
        """Whether it makes sense to let it run on."""
        healthy = self._bot.healthy
        return web.Response(
            status=200 if healthy else 503, text="ok\n" if healthy else "its files failed\n"
        )

    async def _readiness(self, _request: web.Request) -> web.Response:
        """Whether a message would be handled now."""
        gauges = await self._look()
        if gauges is None:
            return web.Response(status=503, text="starting or stopping\n")
        if not gauges.connected:
            return web.Response(status=503, text="not connected to the backend\n")
        return web.Response(text="ready\n")

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = exposition(self._bot.metrics, await self._look())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _look(self) -> Gauges | None:
        try:
            return await self._bot.gauges()
        except StorageError:
            return None  # it is being closed, or its files failed: /healthz tells which
