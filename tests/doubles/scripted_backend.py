"""A backend that answers REST calls as it is told, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from aiohttp import web

from chatbot.client.transport.http_session import Limits
from chatbot.client.transport.rest_client import RestClient

Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Backend:
    """Gives the scripted answers, the last one for ever, and records the requests."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self.pauses: list[float] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    @property
    def calls(self) -> list[str]:
        return [f"{request.method} {request.rel_url}" for request in self.requests]

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def client(self, **options: Any) -> RestClient:
        patient = dict.fromkeys(("connect", "total", "idle"), 20.0)
        limits = Limits(**{**patient, **options.pop("limits", {})})
        rest = RestClient(self.url, limits=limits, sleep=self.sleep, random=lambda: 0.0, **options)
        rest.act_as("me", "some-token")
        return rest


@asynccontextmanager
async def backend(*answers: Answer) -> AsyncGenerator[Backend]:
    double = Backend(*answers)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", double.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        double.url = f"http://{host}:{port}"
        yield double
    finally:
        await runner.cleanup()


@asynccontextmanager
async def calling(*answers: Answer, **options: Any) -> AsyncGenerator[tuple[Backend, RestClient]]:
    async with backend(*answers) as double:
        rest = double.client(**options)
        try:
            yield double, rest
        finally:
            await rest.close()


def say(status: int, body: Any = None, *, text: str | None = None, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        content = json.dumps(body) if text is None else text
        return web.Response(status=status, text=content, headers=headers)

    return answer
