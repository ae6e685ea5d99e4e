"""REST and the socket over TLS: only a backend that proves its name is talked to."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from doubles.socket_double import SocketDouble, Watched

from chatbot.client import exceptions
from chatbot.client.transport.rest_client import RestClient


class Identity(NamedTuple):
    """A server's side, and a client's that trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    """Make a certificate for the name `localhost` and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "server.pem"
    path.write_bytes(secret + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return Identity(server, ssl.create_default_context(cadata=pem.decode()))


@asynccontextmanager
async def https(tls: ssl.SSLContext | None) -> AsyncGenerator[int]:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response([])

    app = web.Application()
    app.router.add_get("/api/users", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def users(url: str, tls: ssl.SSLContext | None) -> None:
    async def sleep(_: float) -> None:
        return None

    rest = RestClient(url, tls=tls, sleep=sleep)
    try:
        assert await rest.users() == []
    finally:
        await rest.close()


async def test_rest_over_tls(identity: Identity) -> None:
    async with https(identity.server) as port:
        await users(f"https://localhost:{port}", identity.client)


async def test_rest_refuses_who_does_not_prove_its_name(identity: Identity) -> None:
    async with https(identity.server) as port:
        with pytest.raises(exceptions.ConnectionError, match="does not prove its identity"):
            await users(f"https://localhost:{port}", None)
        with pytest.raises(exceptions.ConnectionError, match="does not prove its identity"):
            await users(f"https://127.0.0.1:{port}", identity.client)


async def test_rest_refuses_old_tls_and_none_at_all(identity: Identity) -> None:
    async with https(None) as port:
        with pytest.raises(exceptions.ConnectionError, match="no TLS at all"):
            await users(f"https://localhost:{port}", identity.client)


async def test_the_socket_over_tls(identity: Identity) -> None:
    double = SocketDouble()
    await double.start(ssl=identity.server)
    url = f"wss://localhost:{double.port}/ws"
    async with Watched(double, url=url, tls=identity.client) as client:
        await client.connect()
        client.send_nowait("typing", {"filler": "x" * 100_000})
        assert len((await double.next("typing"))["filler"]) == 100_000
    await double.stop()


async def test_the_socket_refuses_who_does_not_prove_its_name(identity: Identity) -> None:
    double = SocketDouble()
    await double.start(ssl=identity.server)
    url = f"wss://localhost:{double.port}/ws"
    async with Watched(double, url=url) as client:
        with pytest.raises(exceptions.ConnectionError, match="does not prove its identity"):
            await client.connect()
    url = f"wss://127.0.0.1:{double.port}/ws"
    async with Watched(double, url=url, tls=identity.client) as client:
        with pytest.raises(exceptions.ConnectionError, match="does not prove its identity"):
            await client.connect()
    assert double.requests == []
    await double.stop()


async def test_a_careless_context_is_refused_at_once(identity: Identity) -> None:
    identity.client.check_hostname = False
    with pytest.raises(exceptions.ValidationError):
        RestClient("https://localhost", tls=identity.client)
    with pytest.raises(exceptions.ValidationError):
        Watched(SocketDouble(), url="wss://localhost/ws", tls=identity.client)
