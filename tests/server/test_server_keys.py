from __future__ import annotations

import base64
from typing import Any

import pytest
from doubles.raw_client import Answer, Person, RawBackend


def key(seed: int, length: int = 32) -> str:
    return base64.b64encode(bytes([seed % 256]) * length).decode()


def upload_body(
    *, identity: int = 1, signed: int | None = 1, one_time: tuple[int, ...] = (2, 3)
) -> dict[str, Any]:
    signed_prekey = {"keyId": signed, "publicKey": key(11), "signature": key(12, 64)}
    return {
        "identityKey": key(identity),
        "signingKey": key(identity + 100),
        "fingerprint": "A" * 60,
        "signedPrekey": None if signed is None else signed_prekey,
        "oneTimePrekeys": [{"keyId": number, "publicKey": key(number)} for number in one_time],
    }


async def upload(person: Person, **parts: Any) -> Answer:
    return await person.call("POST", "/api/users/prekeys", upload_body(**parts))


async def fetch(reader: Person, owner: Person) -> Any:
    return await reader.get(f"/api/users/{owner.id}/prekeys")


async def count(person: Person) -> int:
    status = await person.get("/api/users/prekeys/status")
    return int(status["oneTimePrekeyCount"])


async def test_an_upload_is_counted(alice: Person) -> None:
    before = await alice.get("/api/users/prekeys/status")
    answer = await upload(alice)
    after = await alice.get("/api/users/prekeys/status")

    assert before == {
        "signedPrekeyKeyId": None,
        "signedPrekeyCreatedAt": None,
        "oneTimePrekeyCount": 0,
    }
    assert answer.body == {
        "success": True,
        "signedPrekeyUploaded": True,
        "oneTimePrekeysUploaded": 2,
    }
    assert (after["signedPrekeyKeyId"], after["oneTimePrekeyCount"]) == (1, 2)
    assert after["signedPrekeyCreatedAt"] >= alice.account["created_at"]


async def test_every_fetch_burns_one_one_time_prekey(alice: Person, bob: Person) -> None:
    await upload(alice)

    first, second, third = [await fetch(bob, alice) for _ in range(3)]

    assert first["oneTimePrekey"] == {"keyId": 2, "publicKey": key(2)}
    assert second["oneTimePrekey"] == {"keyId": 3, "publicKey": key(3)}
    assert third["oneTimePrekey"] is None
    created_at = third["signedPrekey"].pop("createdAt")
    assert isinstance(created_at, int)
    assert third == {
        "identityKey": key(1),
        "signingKey": key(101),
        "fingerprint": "A" * 60,
        "signedPrekey": {"keyId": 1, "publicKey": key(11), "signature": key(12, 64)},
        "oneTimePrekey": None,
    }
    assert await count(alice) == 0


async def test_a_repeated_upload_brings_no_used_key_back(alice: Person, bob: Person) -> None:
    await upload(alice)
    await fetch(bob, alice)

    again = await upload(alice)

    assert again.body["oneTimePrekeysUploaded"] == 0
    assert await count(alice) == 1


async def test_a_refill_without_a_signed_prekey_keeps_the_one_there_is(
    alice: Person, bob: Person
) -> None:
    await upload(alice)
    answer = await upload(alice, signed=None, one_time=(4,))

    assert answer.body["signedPrekeyUploaded"] is False
    assert await count(alice) == 3
    assert (await fetch(bob, alice))["signedPrekey"]["keyId"] == 1


async def test_a_rotation_replaces_the_signed_prekey(alice: Person, bob: Person) -> None:
    await upload(alice)
    await upload(alice, signed=9, one_time=())

    assert (await fetch(bob, alice))["signedPrekey"]["keyId"] == 9


async def test_a_new_identity_takes_the_old_ones_prekeys_with_it(
    alice: Person, bob: Person
) -> None:
    await upload(alice, one_time=(2, 3, 4))
    await upload(alice, identity=7, signed=None, one_time=(50,))

    bundle = await fetch(bob, alice)

    assert bundle["identityKey"] == key(7)
    assert bundle["signedPrekey"] is None
    assert bundle["oneTimePrekey"]["keyId"] == 50
    assert await count(alice) == 0


@pytest.mark.parametrize("who", ["nobody", "..%2f..%2fetc%2fpasswd", "%00", "'; DROP TABLE users"])
async def test_who_has_published_nothing(alice: Person, who: str) -> None:
    answer = await alice.call("GET", f"/api/users/{who}/prekeys")

    assert (answer.status, answer.error) == (404, "Key material not found")


def changed(**changes: Any) -> dict[str, Any]:
    return {**upload_body(), **changes}


@pytest.mark.parametrize(
    "body",
    [
        {},
        changed(identityKey="not base64"),
        changed(identityKey=key(1, 31)),
        changed(signingKey=""),
        changed(fingerprint=""),
        changed(fingerprint="A" * 1000),
        changed(signedPrekey={"keyId": 1, "publicKey": key(1), "signature": key(1, 63)}),
        changed(signedPrekey={"keyId": -1, "publicKey": key(1), "signature": key(1, 64)}),
        changed(signedPrekey=[]),
        changed(oneTimePrekeys=[{"keyId": 2**40, "publicKey": key(1)}]),
        changed(oneTimePrekeys=[{"keyId": 2, "publicKey": key(1) + "A"}]),
        changed(oneTimePrekeys=[{"keyId": n, "publicKey": key(n)} for n in range(201)]),
        changed(oneTimePrekeys=None),
    ],
)
async def test_malformed_uploads_change_nothing(alice: Person, bob: Person, body: Any) -> None:
    await upload(alice)

    answer = await alice.call("POST", "/api/users/prekeys", body)

    assert answer.status == 400
    assert answer.error
    assert await count(alice) == 2
    assert (await fetch(bob, alice))["identityKey"] == key(1)


async def test_one_time_prekeys_are_bounded(alice: Person) -> None:
    for start in range(0, 1000, 200):
        full = await upload(alice, one_time=tuple(range(start, start + 200)))
        assert full.status == 200

    answer = await upload(alice, one_time=(2000,))

    assert answer.status == 400
    assert await count(alice) == 1000


async def test_verifications_are_kept_until_taken_back(
    backend: RawBackend, alice: Person, bob: Person
) -> None:
    path = f"/api/verify-key/{bob.id}"
    body = {"verifiedUserId": bob.id, "verifiedFingerprint": "B" * 60}

    assert await alice.get(path) == {"verified": False}
    made = await alice.call("POST", "/api/verify-key", {**body, "verificationMethod": "qr_code"})
    kept = await alice.get(path)
    others = await bob.get(f"/api/verify-key/{alice.id}")
    taken_back = await alice.call("DELETE", path)

    assert backend.url
    assert made.body == {"success": True}
    assert isinstance(kept.pop("verifiedAt"), int)
    assert kept == {"verified": True, "fingerprint": "B" * 60, "method": "qr_code"}
    assert others == {"verified": False}
    assert taken_back.body == {"success": True}
    assert await alice.get(path) == {"verified": False}


async def test_a_verification_is_manual_unless_it_says_otherwise(
    alice: Person, bob: Person
) -> None:
    body = {"verifiedUserId": bob.id, "verifiedFingerprint": "B" * 60}
    await alice.call("POST", "/api/verify-key", body)

    assert (await alice.get(f"/api/verify-key/{bob.id}"))["method"] == "manual"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"verificationMethod": "guess"}, 400),
        ({"verifiedFingerprint": ""}, 400),
        ({"verifiedUserId": "nobody"}, 404),
        ({"verifiedUserId": None}, 400),
    ],
)
async def test_malformed_verifications(
    alice: Person, bob: Person, change: dict[str, Any], status: int
) -> None:
    body = {"verifiedUserId": bob.id, "verifiedFingerprint": "B" * 60, **change}

    assert (await alice.call("POST", "/api/verify-key", body)).status == status
    assert await alice.get(f"/api/verify-key/{bob.id}") == {"verified": False}
