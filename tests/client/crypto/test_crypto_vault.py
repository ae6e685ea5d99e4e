"""The vault: only the right password opens it, and no value can be moved, changed or exchanged."""

from __future__ import annotations

import os

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chatbot.client.crypto import vault
from chatbot.client.crypto.vault import Argon2Parameters, DataKey, Vault, VaultHeader
from chatbot.client.exceptions import StorageError, ValidationError, WrongPasswordError

CHEAP = Argon2Parameters(memory=8, passes=1, lanes=1)
DATA_KEY = DataKey(bytes(range(32)))
SALTS = {1: b"1" * 32, 2: b"2" * 32}

Place = tuple[str, str | bytes, str]
places = st.tuples(
    st.text(max_size=5), st.text(max_size=5) | st.binary(max_size=5), st.text(max_size=5)
)


def as_bytes(place: Place) -> tuple[bytes, bytes, bytes]:
    table, key, column = place
    return table.encode(), key.encode() if isinstance(key, str) else key, column.encode()


class TestPassword:
    def test_the_default_cost(self) -> None:
        assert Argon2Parameters() == Argon2Parameters(memory=64 * 1024, passes=3, lanes=4)
        header, data_key = vault.create("correct horse")
        assert header.parameters == Argon2Parameters()
        assert len(header.salt) >= 16
        assert vault.unlock(header, "correct horse") == data_key

    def test_opens_what_it_made_from_the_bytes_on_the_disk(self) -> None:
        header, data_key = vault.create("pass word", parameters=CHEAP)
        assert len(data_key.secret) == 32
        assert vault.unlock(VaultHeader.from_bytes(header.to_bytes()), "pass word") == data_key

    @given(wrong=st.text(min_size=1, max_size=20))
    def test_no_other_password_opens_it(self, wrong: str) -> None:
        assume(wrong != "right")
        header, _ = vault.create("right", parameters=CHEAP)
        with pytest.raises(WrongPasswordError):
            vault.unlock(header, wrong)

    def test_every_vault_has_its_own_key_and_salt(self) -> None:
        (first, first_key), (second, second_key) = (
            vault.create("same", parameters=CHEAP) for _ in range(2)
        )
        assert first_key != second_key
        assert first.salt != second.salt
        assert first.wrapped_key != second.wrapped_key

    def test_an_empty_one_is_refused(self) -> None:
        header, data_key = vault.create("x", parameters=CHEAP)
        with pytest.raises(ValidationError, match="empty"):
            vault.create("")
        with pytest.raises(ValidationError, match="empty"):
            vault.rewrap(data_key, "")
        with pytest.raises(ValidationError, match="empty"):
            vault.unlock(header, "")

    def test_is_the_same_however_its_accents_were_typed(self) -> None:
        header, data_key = vault.create("caf\u00e9", parameters=CHEAP)
        assert vault.unlock(header, "cafe\u0301") == data_key

    def test_may_hold_bytes_that_are_no_text(self) -> None:
        password = os.fsdecode(b"\xff\xfe secret")
        header, data_key = vault.create(password, parameters=CHEAP)
        assert vault.unlock(header, password) == data_key

    def test_rewrapping_keeps_the_key_and_drops_the_old_password(self) -> None:
        header, data_key = vault.create("old", parameters=CHEAP)
        rewrapped = vault.rewrap(data_key, "new", parameters=CHEAP)
        assert vault.unlock(rewrapped, "new") == data_key
        assert rewrapped.salt != header.salt
        with pytest.raises(WrongPasswordError):
            vault.unlock(rewrapped, "old")


class TestHeader:
    @given(data=st.data())
    def test_one_that_was_tampered_with_opens_nothing(self, data: st.DataObject) -> None:
        header, _ = vault.create("password", parameters=CHEAP)
        damaged = bytearray(header.to_bytes())
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] ^= data.draw(st.integers(1, 255))
        with pytest.raises(StorageError):
            vault.unlock(VaultHeader.from_bytes(bytes(damaged)), "password")

    @given(data=st.binary(max_size=200))
    def test_anything_else_is_refused(self, data: bytes) -> None:
        with pytest.raises(StorageError, match="header is damaged"):
            VaultHeader.from_bytes(data)

    @pytest.mark.parametrize(
        "parameters",
        [(100 * 1024 * 1024, 3, 4), (64 * 1024, 1_000_000, 4), (64 * 1024, 3, 255), (0, 0, 0)],
    )
    def test_one_that_asks_for_too_much_is_refused(self, parameters: tuple[int, int, int]) -> None:
        fields = (1, parameters, bytes(32), bytes(12), bytes(48))
        with pytest.raises(StorageError):
            VaultHeader.from_bytes(msgspec.msgpack.encode(fields))

    def test_parameters_that_argon2_refuses(self) -> None:
        impossible = Argon2Parameters(memory=8, passes=1, lanes=16)
        with pytest.raises(StorageError, match="cannot be checked"):
            vault.create("password", parameters=impossible)

    def test_of_a_later_version_is_refused(self) -> None:
        fields = (2, (8, 1, 1), bytes(32), bytes(12), bytes(48))
        with pytest.raises(StorageError, match="newer version"):
            VaultHeader.from_bytes(msgspec.msgpack.encode(fields))


class TestSealing:
    @given(place=places, plaintext=st.binary(max_size=2000))
    def test_opens_what_it_sealed(self, place: Place, plaintext: bytes) -> None:
        sealer = Vault(DATA_KEY, SALTS, 1)
        sealed = sealer.seal(*place, plaintext)
        assert sealer.open(*place, sealed) == plaintext
        assert len(sealed) == len(plaintext) + 33
        assert sealed[:5] == b"\x01\x00\x00\x00\x01"

    @given(place=places, other=places)
    def test_a_value_cannot_be_moved(self, place: Place, other: Place) -> None:
        assume(as_bytes(place) != as_bytes(other))
        sealer = Vault(DATA_KEY, SALTS, 1)
        with pytest.raises(StorageError):
            sealer.open(*other, sealer.seal(*place, b"secret"))

    def test_the_border_between_the_parts_of_a_place_counts(self) -> None:
        sealer = Vault(DATA_KEY, SALTS, 1)
        sealed = sealer.seal("ab", "c", "d", b"secret")
        for place in (("a", "bc", "d"), ("ab", "", "cd"), ("", "abcd", ""), ("abc", "", "d")):
            with pytest.raises(StorageError):
                sealer.open(*place, sealed)

    @given(data=st.data(), plaintext=st.binary(max_size=50))
    def test_a_changed_value_does_not_open(self, data: st.DataObject, plaintext: bytes) -> None:
        sealer = Vault(DATA_KEY, SALTS, 1)
        damaged = bytearray(sealer.seal("t", "k", "c", plaintext))
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] ^= data.draw(st.integers(1, 255))
        with pytest.raises(StorageError, match=r"t\.c does not open"):
            sealer.open("t", "k", "c", bytes(damaged))

    @given(junk=st.binary(max_size=100))
    def test_nothing_but_a_sealed_value_opens(self, junk: bytes) -> None:
        with pytest.raises(StorageError):
            Vault(DATA_KEY, SALTS, 1).open("t", "k", "c", junk)

    def test_a_later_start_opens_what_an_earlier_one_sealed(self) -> None:
        sealed = Vault(DATA_KEY, {1: SALTS[1]}, 1).seal("t", "k", "c", b"secret")
        later = Vault(DATA_KEY, SALTS, 2)
        assert later.open("t", "k", "c", sealed) == b"secret"
        assert later.seal("t", "k", "c", b"secret")[:5] == b"\x01\x00\x00\x00\x02"

    def test_no_nonce_comes_twice_in_one_start(self) -> None:
        sealer = Vault(DATA_KEY, SALTS, 1)
        assert len({sealer.seal("t", "k", "c", b"same") for _ in range(1000)}) == 1000
        assert len({sealer.seal("t", "k", "c", b"same")[5:17] for _ in range(1000)}) == 1000

    def test_each_start_has_its_own_subkey(self) -> None:
        first, second = (Vault(DATA_KEY, SALTS, salt_id) for salt_id in SALTS)
        a, b = first.seal("t", "k", "c", b"same"), second.seal("t", "k", "c", b"same")
        assert a[5:17] == b[5:17]
        assert a[17:] != b[17:]

    def test_another_data_key_or_salt_opens_nothing(self) -> None:
        sealed = Vault(DATA_KEY, SALTS, 1).seal("t", "k", "c", b"secret")
        for stranger in (
            Vault(DataKey(bytes(32)), SALTS, 1),
            Vault(DATA_KEY, {1: SALTS[2]}, 1),
            Vault(DATA_KEY, {2: SALTS[2]}, 2),
        ):
            with pytest.raises(StorageError, match="not of the same backup"):
                stranger.open("t", "k", "c", sealed)


class TestDeriving:
    def test_is_the_same_at_every_start_and_differs_by_purpose(self) -> None:
        first, second = (Vault(DATA_KEY, SALTS, salt_id) for salt_id in SALTS)
        assert first.derive("reply ids") == second.derive("reply ids")
        assert len(first.derive("reply ids")) == 32
        assert first.derive("reply ids") != first.derive("other")
        assert first.derive("reply ids") != DATA_KEY.secret


def test_nothing_shows_a_secret() -> None:
    header, data_key = vault.create("password", parameters=CHEAP)
    sealer = Vault(data_key, SALTS, 1)
    shown = repr((header, data_key, sealer))
    for secret in (data_key.secret, header.wrapped_key, header.salt, SALTS[1]):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
