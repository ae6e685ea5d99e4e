"""The message format: the browser's bytes both ways, and nothing malformed gets through."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from doubles import vectors
from hypothesis import given
from hypothesis import strategies as st

from chatbot.client.crypto.message import (
    MAX_CONTENT_LENGTH,
    EncryptedMessage,
    RatchetHeader,
    X3DHHeader,
    decode_content,
    encode_content,
)
from chatbot.client.exceptions import DecryptionError

KEY = bytes(range(32))
CIPHERTEXT = bytes(range(50))
WIRES = [step.wire for transcript in vectors.transcripts() for step in transcript.steps[:3]]

keys = st.binary(min_size=32, max_size=32)
numbers = st.integers(0, 2**31 - 1)
messages = st.builds(
    EncryptedMessage,
    st.builds(RatchetHeader, keys, numbers, numbers),
    st.binary(min_size=40, max_size=200),
    st.none() | st.builds(X3DHHeader, keys, keys, numbers, st.none() | numbers),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=32), max_size=32).map(tuple),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4)
    ),
    max_leaves=10,
)


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def content() -> dict[str, Any]:
    """Build a message with everything a message can have."""
    return {
        "header": {"ratchetKey": base64(KEY), "previousChainLength": 3, "messageNumber": 4},
        "ciphertext": base64(CIPHERTEXT),
        "authTag": "",
        "x3dh": {
            "senderIdentityKey": base64(KEY),
            "senderEphemeralKey": base64(KEY[::-1]),
            "usedSignedPrekeyId": 5,
            "usedOneTimePrekeyId": 6,
        },
        "caps": ["image-1"],
    }


def changed(path: str, value: object) -> str:
    """Put a value, or nothing where it is `...`, in a message's place."""
    message = content()
    *parents, name = path.split(".")
    place = message
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return json.dumps(message)


def assert_malformed(text: str) -> None:
    with pytest.raises(DecryptionError) as raised:
        decode_content(text)
    assert raised.value.reason == "malformed"
    assert len(str(raised.value)) < 200


class TestEncoding:
    @pytest.mark.parametrize("wire", WIRES)
    def test_gives_the_browsers_own_bytes(self, wire: str) -> None:
        assert encode_content(decode_content(wire)) == wire

    def test_is_compact_json_in_the_browsers_key_order(self) -> None:
        message = EncryptedMessage(
            RatchetHeader(KEY, 3, 4), CIPHERTEXT, X3DHHeader(KEY, KEY[::-1], 5, 6), ("image-1",)
        )
        assert encode_content(message) == json.dumps(content(), separators=(",", ":"))

    def test_leaves_out_what_is_not_there_but_never_the_auth_tag(self) -> None:
        encoded = json.loads(encode_content(EncryptedMessage(RatchetHeader(KEY, 0, 0), CIPHERTEXT)))
        assert list(encoded) == ["header", "ciphertext", "authTag"]
        assert encoded["authTag"] == ""

    @given(messages)
    def test_is_undone_by_decoding(self, message: EncryptedMessage) -> None:
        assert decode_content(encode_content(message)) == message


class TestTolerance:
    def test_the_prefix_of_the_specification(self) -> None:
        message = decode_content("E2EE:" + json.dumps(content()))
        assert message == decode_content(json.dumps(content()))
        assert not encode_content(message).startswith("E2EE:")

    @pytest.mark.parametrize("value", [..., "", "ABCD", None, 5, ["x"]])
    def test_whatever_the_auth_tag_is(self, value: object) -> None:
        assert decode_content(changed("authTag", value)) == decode_content(json.dumps(content()))

    @pytest.mark.parametrize("place", ["future", "header.future", "x3dh.future"])
    @given(value=json_values)
    def test_members_that_are_not_known(self, place: str, value: object) -> None:
        assert decode_content(changed(place, value)) == decode_content(json.dumps(content()))

    @pytest.mark.parametrize("value", [..., None])
    def test_no_x3dh(self, value: object) -> None:
        assert decode_content(changed("x3dh", value)).x3dh is None

    @pytest.mark.parametrize("value", [..., None])
    def test_no_one_time_prekey(self, value: object) -> None:
        x3dh = decode_content(changed("x3dh.usedOneTimePrekeyId", value)).x3dh
        assert x3dh == X3DHHeader(KEY, KEY[::-1], 5)

    def test_the_largest_numbers(self) -> None:
        message = decode_content(changed("header.messageNumber", 2**31 - 1))
        assert message.header.message_number == 2**31 - 1


class TestMalformed:
    @pytest.mark.parametrize(
        "path",
        ["header", "ciphertext"]
        + [f"header.{name}" for name in content()["header"]]
        + [f"x3dh.{name}" for name in list(content()["x3dh"])[:3]],
    )
    @pytest.mark.parametrize("value", [..., None, True, [], {}, "x", 1.5, 1e300, -1])
    def test_missing_or_of_another_type(self, path: str, value: object) -> None:
        assert_malformed(changed(path, value))

    @pytest.mark.parametrize(
        "path",
        [
            "header.previousChainLength",
            "header.messageNumber",
            "x3dh.usedSignedPrekeyId",
            "x3dh.usedOneTimePrekeyId",
        ],
    )
    @pytest.mark.parametrize(
        "number", [-1, 2**31, 2**63, 2**64, 10**400, -(10**400), 1.0, "1", False]
    )
    def test_numbers_out_of_range(self, path: str, number: object) -> None:
        assert_malformed(changed(path, number))

    @pytest.mark.parametrize(
        "path", ["header.ratchetKey", "x3dh.senderIdentityKey", "x3dh.senderEphemeralKey"]
    )
    @pytest.mark.parametrize("length", [0, 31, 33, 64])
    def test_keys_of_another_length(self, path: str, length: int) -> None:
        assert_malformed(changed(path, base64(bytes(length))))

    @pytest.mark.parametrize("length", [0, 24, 39])
    def test_a_ciphertext_with_no_room_for_nonce_and_tag(self, length: int) -> None:
        assert_malformed(changed("ciphertext", base64(bytes(length))))

    @pytest.mark.parametrize(
        "text",
        [
            base64(KEY).rstrip("="),
            base64(KEY) + "=",
            base64(KEY) + "\n",
            " " + base64(KEY),
            base64(KEY).replace("A", "-", 1),
            base64(KEY).replace("A", "_", 1),
            base64(KEY).replace("A", "\uff21", 1),
            "=" * 44,
        ],
    )
    def test_base64_that_is_not_quite(self, text: str) -> None:
        assert_malformed(changed("header.ratchetKey", text))

    @pytest.mark.parametrize(
        "caps", ["image-1", {"image-1": 1}, [1], [None], ["x" * 33], ["x"] * 33, [["x"]]]
    )
    def test_capabilities_without_bounds(self, caps: object) -> None:
        assert_malformed(changed("caps", caps))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "null",
            "[]",
            "{}",
            "E2EE:",
            "E2EE:E2EE:{}",
            "hello",
            "{",
            '{"header":',
            "\ud800",
            '{"header":"\ud800"}',
            "\x00",
            "[" * 100_000,
            '{"x":' * 100_000,
            '{"future":' + "[" * 100_000 + "]" * 100_000 + "}",
            '{"header":' + "9" * 100_000 + "}",
        ],
    )
    def test_no_message_at_all(self, text: str) -> None:
        assert_malformed(text)

    def test_more_than_ten_mebibytes(self) -> None:
        fitting = json.dumps(content() | {"future": ""})
        room = MAX_CONTENT_LENGTH - len(fitting)
        assert MAX_CONTENT_LENGTH == 10 * 1024 * 1024
        decode_content(json.dumps(content() | {"future": "x" * room}))
        assert_malformed(json.dumps(content() | {"future": "x" * (room + 1)}))


class TestFuzz:
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        assert_malformed(text)

    @given(json_values)
    def test_any_json(self, value: object) -> None:
        assert_malformed(json.dumps(value))

    @given(st.sampled_from(WIRES), st.data())
    def test_any_damage_gives_a_message_or_a_decryption_error(
        self, wire: str, data: st.DataObject
    ) -> None:
        start = data.draw(st.integers(0, len(wire)))
        end = data.draw(st.integers(start, min(start + 20, len(wire))))
        damaged = wire[:start] + data.draw(st.text(max_size=20)) + wire[end:]
        try:
            message = decode_content(damaged)
        except DecryptionError:
            return
        assert decode_content(encode_content(message)) == message
