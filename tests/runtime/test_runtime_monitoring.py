"""What an operator's machines ask a running bot, over real sockets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from doubles.clients import Collected
from doubles.stage import Stage
from prometheus_client.parser import text_string_to_metric_families

from chatbot.client.exceptions import ConnectionError, StorageError, ValidationError
from chatbot.runtime.metrics import Histogram, Metrics
from chatbot.runtime.monitoring.endpoint import EndpointOptions, MonitoringEndpoint
from chatbot.runtime.monitoring.exposition import exposition

TOKEN = "what only the operator knows"
OPTIONS = EndpointOptions(port=0, token=TOKEN)

GREETER = """
    @plugin.command()
    async def hi() -> str:
        return "Hello!"

    @plugin.command(role="admin")
    async def secret() -> str:
        return "no"
"""


class Operator:
    """Asks with the right token, unless told otherwise."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def asks(self, path: str, token: str = TOKEN) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}"}
        async with self._http.get(self._url + path, headers=headers) as response:
            return response.status, await response.text()

    async def scrapes(self) -> dict[tuple[str, str], float]:
        """Every sample by its name and the values of its labels, ordered by these' names."""
        status, text = await self.asks("/metrics")
        assert status == 200
        return {
            (sample.name, " ".join(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
async def operator(stage: Stage) -> AsyncIterator[Operator]:
    """Somebody who watches the stage's bot."""
    bot = await stage.play(GREETER)
    async with MonitoringEndpoint(bot, OPTIONS) as endpoint, aiohttp.ClientSession() as http:
        yield Operator(endpoint.url, http)


async def test_a_running_bot_is_healthy_and_ready(operator: Operator) -> None:
    assert await operator.asks("/healthz") == (200, "ok\n")
    assert await operator.asks("/readyz") == (200, "ready\n")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/anything"])
async def test_nothing_is_said_without_the_token(operator: Operator, path: str) -> None:
    for wrong in ("", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "\u00e9"):
        assert await operator.asks(path, wrong) == (401, "unauthorized\n")


async def test_it_counts_without_naming_anybody(operator: Operator, stage: Stage) -> None:
    alice = await stage.person("alice")
    before = await operator.scrapes()
    assert await alice.says("/hi") == "Hello!"
    await alice.says("/secret")
    samples = await operator.scrapes()
    assert samples["chatbot_messages_in_total", "direct"] == 2
    assert samples["chatbot_messages_out_total", "direct"] == 2
    assert samples["chatbot_handlers_total", "ok play"] == 1
    assert samples["chatbot_refused_total", "deny"] == 1
    assert samples["chatbot_handler_seconds_count", ""] == 1
    assert samples["chatbot_handler_seconds_bucket", "+Inf"] == 1
    commits = samples["chatbot_commit_units_count", ""]
    assert commits > before["chatbot_commit_units_count", ""]
    assert samples["chatbot_up", ""] == samples["chatbot_connected", ""] == 1
    assert samples["chatbot_prekeys", ""] == 100
    assert samples["chatbot_queue_depth", "inbox"] == 0
    _, text = await operator.asks("/metrics")
    assert alice.id not in text
    assert "alice" not in text


async def test_it_is_not_ready_while_the_backend_is_away(operator: Operator, stage: Stage) -> None:
    lost = Collected(stage.bot.client.on_connection_change)
    await stage.server.stop()
    await lost.until(wanted=False)
    assert await operator.asks("/readyz") == (503, "not connected to the backend\n")
    assert (await operator.scrapes())["chatbot_connected", ""] == 0


async def test_a_stopped_bot_is_not_ready_but_still_counted(
    operator: Operator, stage: Stage
) -> None:
    await (await stage.person("alice")).says("/hi")
    await stage.bot.stop()
    assert await operator.asks("/readyz") == (503, "starting or stopping\n")
    samples = await operator.scrapes()
    assert samples["chatbot_up", ""] == 0
    assert samples["chatbot_messages_in_total", "direct"] == 1


async def test_it_says_so_when_its_files_failed(stage: Stage) -> None:
    bot = await stage.play(GREETER)
    for listener in bot.client._account.database.on_failure:
        listener(StorageError("the disk is full"))
    async with MonitoringEndpoint(bot, OPTIONS) as endpoint, aiohttp.ClientSession() as http:
        assert await Operator(endpoint.url, http).asks("/healthz") == (503, "its files failed\n")


async def test_a_port_that_is_taken(stage: Stage) -> None:
    bot = await stage.play(GREETER)
    async with MonitoringEndpoint(bot, OPTIONS) as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(ConnectionError, match=f"127.0.0.1:{port}.*another port"):
            async with MonitoringEndpoint(bot, EndpointOptions(port=port, token=TOKEN)):
                pass


@pytest.mark.parametrize("host", ["192.0.2.1", "bot.example", ""])
def test_it_is_not_offered_in_the_clear(host: str) -> None:
    with pytest.raises(ValidationError, match="beyond this machine"):
        EndpointOptions(port=0, token=TOKEN, host=host)


def test_a_certificate_needs_its_key_and_a_key_its_certificate() -> None:
    with pytest.raises(ValidationError, match="together"):
        replace(OPTIONS, certificate=Path("half.pem"))
    with pytest.raises(ValidationError, match="together"):
        replace(OPTIONS, key=Path("half.pem"))


def test_an_empty_token_is_none() -> None:
    with pytest.raises(ValidationError, match="token"):
        EndpointOptions(port=0, token="")


def test_the_token_is_in_no_repr() -> None:
    assert TOKEN not in repr(OPTIONS)


class TestTLS:
    @pytest.fixture
    def certified(self, tmp_path: Path) -> EndpointOptions:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(pem))
        (tmp_path / "key.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return EndpointOptions(
            port=0,
            token=TOKEN,
            host="localhost",
            certificate=tmp_path / "cert.pem",
            key=tmp_path / "key.pem",
        )

    async def test_it_speaks_tls_with_a_certificate(
        self, stage: Stage, certified: EndpointOptions
    ) -> None:
        bot = await stage.play(GREETER)
        context = ssl.create_default_context(cafile=str(certified.certificate))
        connector = aiohttp.TCPConnector(ssl=context)
        async with (
            MonitoringEndpoint(bot, certified) as endpoint,
            aiohttp.ClientSession(connector=connector) as http,
        ):
            assert endpoint.url.startswith("https://localhost:")
            assert await Operator(endpoint.url, http).asks("/readyz") == (200, "ready\n")

    async def test_a_key_that_cannot_be_used(
        self, stage: Stage, certified: EndpointOptions, tmp_path: Path
    ) -> None:
        bot = await stage.play(GREETER)
        (tmp_path / "key.pem").write_text("no key")
        with pytest.raises(StorageError, match=r"key\.pem cannot be used"):
            async with MonitoringEndpoint(bot, certified):
                pass


def test_a_value_on_a_bound_is_in_its_bucket() -> None:
    histogram = Histogram((1, 2, 5))
    for value in (0, 1, 1.5, 2, 5, 6):
        histogram.add(value)
    assert histogram.buckets == [2, 2, 1, 1]
    assert (histogram.count, histogram.total) == (6, 15.5)


def test_connections_after_the_first_are_reconnects() -> None:
    metrics = Metrics()
    assert metrics.reconnects == 0
    metrics.connections = 3
    assert b"chatbot_reconnects_total 2.0" in exposition(metrics, None)
