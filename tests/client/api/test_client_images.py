"""Pictures between clients, to browsers and to groups, and what is no picture (FR-MSG-03, 04)."""

from __future__ import annotations

import asyncio
import base64
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from doubles.clients import Clients, Collected, texts
from doubles.faulty_backend import FaultyServer
from doubles.pictures import JPEG, PICTURES, PNG
from doubles.raw_client import raw_backend

from chatbot.client import ClientOptions, Message, WhatsAppClient
from chatbot.client.exceptions import (
    ConnectionError,
    PermissionDeniedError,
    SessionNotFoundError,
    ValidationError,
)
from chatbot.client.pictures import make_image
from chatbot.server import Server
from chatbot.wire import IMAGE_PLACEHOLDER, MAX_IMAGE_BYTES

NO_IMAGES = "You do not have permission to send images."


async def acquainted(clients: Clients) -> tuple[WhatsAppClient, WhatsAppClient]:
    """Two clients that know of each other that they are our own kind."""
    alice, bob = await clients.register("alice"), await clients.register("bob")
    await bob.receive_message(await alice.send_message("bob", "hello"))
    await alice.receive_message(await bob.send_message("alice", "hello yourself"))
    return alice, bob


async def forbid_images(clients: Clients, server: Server, name: str) -> None:
    admin = await clients.register("root")
    await server.make_admin("root")
    await admin.allow_images(name, allowed=False)


def rows_of(backend: Path) -> list[tuple[str, str, str | None]]:
    """What the backend has stored: type, content, imageData."""
    with closing(sqlite3.connect(backend)) as connection:
        return connection.execute("SELECT type, content, image_data FROM messages").fetchall()


@pytest.mark.parametrize("mime", PICTURES)
async def test_our_own_kind_gets_it_encrypted_with_its_caption(clients: Clients, mime: str) -> None:
    alice, bob = await acquainted(clients)
    sent = await alice.send_image("bob", PICTURES[mime], caption="look at this")
    received = await bob.receive_message(sent)
    assert sent.is_encrypted
    assert received.is_encrypted
    assert (received.type, received.content) == ("image", "look at this")
    assert received.image is not None
    assert (received.image.data, received.image.mime) == (PICTURES[mime], mime)
    assert received.image.caption == "look at this"
    assert sent.status == "delivered"


async def test_the_backend_sees_nothing_of_an_encrypted_picture(
    clients: Clients, tmp_path: Path
) -> None:
    alice, bob = await acquainted(clients)
    await bob.receive_message(await alice.send_image("bob", PNG, caption="secret"))
    kind, content, image_data = rows_of(tmp_path / "backend" / "b.db")[-1]
    assert (kind, image_data) == ("image", None)
    assert base64.b64encode(PNG).decode() not in content
    assert "secret" not in content


async def test_whoever_may_be_a_browser_gets_what_browsers_show(
    clients: Clients, server: Server
) -> None:
    alice = await clients.register("alice")
    async with raw_backend(server.url) as backend:
        browser = await backend.register("browser")
        async with browser.online() as socket:
            sent = await alice.send_image(browser.id, PNG)
            frame = await socket.next("message")
    assert not sent.is_encrypted
    assert sent.status == "delivered"
    assert frame == {
        "id": sent.id,
        "from": alice.user_id,
        "to": browser.id,
        "content": IMAGE_PLACEHOLDER,
        "timestamp": frame["timestamp"],
        "status": "sent",
        "type": "image",
        "encrypted": False,
        "imageData": "data:image/png;base64," + base64.b64encode(PNG).decode(),
    }


async def test_a_caption_for_a_browser_is_an_encrypted_text_behind_the_picture(
    clients: Clients,
) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    received = Collected(bob.on_message)
    sent = await alice.send_image("bob", JPEG, caption="my cat")
    picture, caption = await received.next(), await received.next()
    assert (picture.id, picture.is_encrypted, picture.type) == (sent.id, False, "image")
    assert picture.content == IMAGE_PLACEHOLDER
    assert picture.image.data == JPEG
    assert picture.image.caption == ""
    assert (caption.content, caption.is_encrypted, caption.type) == ("my cat", True, "text")
    assert texts(await alice.get_messages("bob")) == [IMAGE_PLACEHOLDER, "my cat"]


async def test_the_browsers_form_by_policy(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    await alice.receive_message(await bob.send_message("alice", "I can read encrypted images"))
    await alice.logout()
    alice = await clients.login("alice", options=ClientOptions(images="browser"))
    sent = await alice.send_image("bob", PNG)
    received = await bob.receive_message(sent)
    assert not sent.is_encrypted
    assert not received.is_encrypted
    assert received.image is not None
    assert received.image.data == PNG


async def test_the_policy_encrypted_refuses_rather_than_sends_in_clear(
    clients: Clients, tmp_path: Path
) -> None:
    alice = await clients.register("alice", options=ClientOptions(images="encrypted"))
    bob = await clients.register("bob")
    with pytest.raises(ValidationError, match="not known to read encrypted images"):
        await alice.send_image("bob", PNG, caption="no")
    assert rows_of(tmp_path / "backend" / "b.db") == []
    assert await alice.get_messages("bob") == []
    await alice.receive_message(await bob.send_message("alice", "hi"))
    assert (await bob.receive_message(await alice.send_image("bob", PNG))).is_encrypted


async def test_a_picture_from_a_file_and_back_into_one(clients: Clients, tmp_path: Path) -> None:
    alice, bob = await acquainted(clients)
    (tmp_path / "cat.jpg").write_bytes(JPEG)
    received = await bob.receive_message(await alice.send_image("bob", tmp_path / "cat.jpg"))
    saved = await bob.save_image(received, str(tmp_path / "saved.jpg"))
    assert saved.read_bytes() == JPEG
    assert received.content == IMAGE_PLACEHOLDER
    again = await bob.get_messages("alice")
    assert again[-1] == received


async def test_a_picture_as_base64_and_as_data_url(clients: Clients) -> None:
    alice, bob = await acquainted(clients)
    for source in (
        base64.b64encode(JPEG).decode(),
        "data:image/jpeg;base64," + base64.b64encode(JPEG).decode(),
    ):
        received = await bob.receive_message(await alice.send_image("bob", source))
        assert received.image is not None
        assert received.image.data == JPEG


async def test_a_mime_type_is_sniffed_and_not_believed(clients: Clients, server: Server) -> None:
    alice = await clients.register("alice")
    received = Collected(alice.on_message)
    async with raw_backend(server.url) as backend:
        browser = await backend.register("browser")
        async with browser.online() as socket:
            lie = "data:image/png;base64," + base64.b64encode(JPEG).decode()
            script = "data:image/svg+xml;base64," + base64.b64encode(b"<svg/>").decode()
            for image in (lie, script):
                await socket.send(
                    "message",
                    to=alice.user_id,
                    content=IMAGE_PLACEHOLDER,
                    messageType="image",
                    imageData=image,
                )
            picture, none = await received.next(), await received.next()
    assert picture.image.mime == "image/jpeg"
    assert (none.type, none.image) == ("text", None)


async def test_the_largest_picture_goes_through_encrypted(clients: Clients) -> None:
    alice, bob = await acquainted(clients)
    largest = PNG + os.urandom(MAX_IMAGE_BYTES - len(PNG))
    received = await bob.receive_message(await alice.send_image("bob", largest))
    assert received.image is not None
    assert received.image.data == largest


async def test_what_cannot_be_sent(clients: Clients, tmp_path: Path) -> None:
    alice, _ = await clients.register("alice"), await clients.register("bob")
    (tmp_path / "notes.txt").write_text("no picture")
    os.mkfifo(tmp_path / "pipe")
    for source, complaint in (
        (b"", "empty"),
        (b"%PDF-1.7", "not an image"),
        (PNG + bytes(MAX_IMAGE_BYTES), "scale it down"),
        (tmp_path / "notes.txt", "not an image"),
        (tmp_path / "missing.png", "no image file"),
        (tmp_path / "pipe", "no image file"),
        (str(tmp_path), "no image file"),
        ("data:image/png;base64,????", "data URL"),
        ("data:text/plain,hello", "data URL"),
        ("a\0b", "no image file"),
    ):
        with pytest.raises(ValidationError, match=complaint):
            await alice.send_image("bob", source)
    with pytest.raises(ValidationError, match="at most"):
        await alice.send_image("bob", PNG, caption="x" * 70_000)
    with pytest.raises(ValidationError, match="Unicode"):
        await alice.send_image("bob", PNG, caption="\ud800")
    with pytest.raises(ValidationError, match="name another user"):
        await alice.send_image("alice", PNG)
    with pytest.raises(SessionNotFoundError, match="nobody"):
        await alice.send_image("nobody", PNG)
    assert await alice.get_messages("bob") == []


async def test_what_cannot_be_saved(clients: Clients, tmp_path: Path) -> None:
    alice, bob = await acquainted(clients)
    text = await bob.receive_message(await alice.send_message("bob", "no picture"))
    with pytest.raises(ValidationError, match="no image"):
        await bob.save_image(text, tmp_path / "x.png")
    picture = await bob.receive_message(await alice.send_image("bob", PNG))
    with pytest.raises(ValidationError, match="cannot be written"):
        await bob.save_image(picture, tmp_path)
    with pytest.raises(ValidationError, match="cannot be written"):
        await bob.save_image(picture, tmp_path / "no such folder" / "x.png")


async def test_without_the_right_to_send_images(clients: Clients, server: Server) -> None:
    alice, bob = await acquainted(clients)
    await forbid_images(clients, server, "alice")
    complaints = Collected(alice.on_error)
    with pytest.raises(PermissionDeniedError, match=NO_IMAGES):
        await alice.send_image("bob", PNG, caption="please")
    assert len(await alice.get_messages("bob")) == 2
    sent = await alice.send_message("bob", "words are allowed")
    assert (await bob.receive_message(sent)).content == "words are allowed"
    assert complaints.all == []


async def test_a_refusal_meets_the_picture_and_no_message_beside_it(
    clients: Clients, server: Server
) -> None:
    alice, _ = await acquainted(clients)
    carol = await clients.register("carol")
    group = await alice.create_group("friends", member_ids=["bob", "carol"])
    await forbid_images(clients, server, "alice")
    received = Collected(carol.on_group_message)
    results = await asyncio.gather(
        alice.send_group_message(group.id, "a text to the group"),
        alice.send_image("bob", PNG),
        alice.send_message("carol", "a text to carol"),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [Message, PermissionDeniedError, Message]
    assert (await received.next()).content == "a text to the group"
    with pytest.raises(PermissionDeniedError, match=NO_IMAGES):
        await alice.send_group_image(group.id, PNG)
    assert texts(await alice.get_group_messages(group.id)) == ["a text to the group"]


async def test_a_refused_picture_out_of_the_queue_is_reported(
    clients: Clients, server: Server
) -> None:
    alice, bob = await acquainted(clients)
    await forbid_images(clients, server, "alice")
    failed = Collected(alice.on_send_failed)
    messenger = alice._account.messenger
    [picture] = await messenger.compose.image(bob.user_id, make_image(PNG), "auto")
    await messenger.sender.post([picture], expires_at=picture.timestamp + 60_000)
    message, error = await failed.next()
    assert message.id == picture.id
    assert isinstance(error, PermissionDeniedError)
    assert (await bob.receive_message(await alice.send_message("bob", "after"))).content == "after"


async def test_pictures_over_two_megabytes_are_in_no_history_but_arrive(
    faulty_clients: Clients, faulty: FaultyServer
) -> None:
    alice, bob = await acquainted(faulty_clients)
    assert faulty.faults.unstored_large
    large = PNG + os.urandom(3_000_000)
    received = await bob.receive_message(await alice.send_image("bob", large))
    assert received.image is not None
    assert received.image.data == large


async def test_nothing_is_kept_of_a_picture_that_never_left(
    clients: Clients, server: Server
) -> None:
    alice, _ = await acquainted(clients)
    lost = Collected(alice.on_connection_change)
    await server.stop()
    await lost.until(wanted=False)
    with pytest.raises(ConnectionError):
        await alice.send_image("bob", PNG)
    assert len(await alice.get_messages("bob")) == 2
