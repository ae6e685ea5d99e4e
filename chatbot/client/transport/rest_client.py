"""Every call of PROTOCOL.md 2, typed: one method for each row of its table.

What all of them may raise: `ConnectionError` where the backend cannot be reached,
`AuthenticationError` where it refuses the account even after a new login, `PermissionDeniedError`
and `ValidationError` with the backend's own words, `BackendError` where it fails or answers what
cannot be understood. The methods name only what they add to that.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from random import random as uniform
from typing import Final

import msgspec

from chatbot import wire
from chatbot.client import exceptions
from chatbot.client.transport.calls import Auth, Calls, api_path, encode_body
from chatbot.client.transport.http_session import MEBIBYTE, Errors, HttpSession, Limits, Request
from chatbot.client.transport.tokens import TokenSource

GROUP_PAGE: Final = 200
"""How many rows of a group's history are asked for at once."""

MAX_PAGE_BYTES: Final = 64 * MEBIBYTE
"""Contents and pictures of one such page; where there are more, a smaller page is asked for."""

_MAX_PAGES: Final = 10_000


def _now() -> int:
    return time.time_ns() // 1_000_000


class RestClient:
    """The backend's REST interface, as one account.

    Args:
        server_url: e.g. `https://chat.example`.
        relogin: logs in and returns a new JWT, for when the current one has ended.
        allow_insecure: accept clear text to other machines than this.
        tls: the caller's own context, e.g. with a private authority.
        limits: sizes, times and attempts.
        clock: ms since the epoch.
        sleep: waits the given seconds between attempts.
        random: a number in [0, 1), for the jitter of those waits.

    Raises:
        ValidationError: the URL cannot be used, or would be clear text.
    """

    def __init__(
        self,
        server_url: str,
        *,
        relogin: Callable[[], Awaitable[str]] | None = None,
        allow_insecure: bool = False,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        clock: Callable[[], int] = _now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = uniform,
    ) -> None:
        self._http = HttpSession(
            server_url,
            allow_insecure=allow_insecure,
            tls=tls,
            limits=limits,
            sleep=sleep,
            random=random,
        )
        self.tokens = TokenSource(relogin, clock=clock)
        """Where the JWT comes from; the socket takes it from here too."""
        self._calls = Calls(self._http, self.tokens)

    @property
    def server_url(self) -> str:
        """Where the backend is, without a trailing slash."""
        return self._http.server_url

    @property
    def user_id(self) -> str:
        """Whom the calls are made as; empty before `act_as`."""
        return self._calls.user_id

    @property
    def backend_time(self) -> int | None:
        """What the backend's clock said in its last answer (ms, whole seconds), if it did."""
        try:
            return round(parsedate_to_datetime(self._http.date or "").timestamp()) * 1000
        except ValueError:
            return None

    @property
    def rejected(self) -> Counter[str]:
        """How many rows of lists and histories were skipped: `malformed`, `oversized`."""
        return self._calls.rejected

    def act_as(self, user_id: str, token: str = "") -> None:
        """Make all further calls as this user; without a token the first one logs in.

        Raises:
            BackendError: the id or token, both given by the backend, cannot go into a header.
        """
        if not user_id.isascii() or not user_id.isprintable():
            raise exceptions.BackendError("The backend gave a user id that cannot be used")
        self.tokens.set(token)
        self._calls.user_id = user_id

    async def close(self) -> None:
        """Close the connections and forget the token."""
        await self.tokens.close()
        await self._http.close()

    # ------------------------------------------------------------ accounts

    async def register(
        self, username: str, password: str, avatar: str | None = None
    ) -> wire.Account:
        """Make an account. `act_as` is up to the caller.

        Raises:
            UsernameExistsError: somebody else has the name.
        """
        body = wire.Credentials(username, password, avatar)
        request = _post(
            api_path("auth", "register"), body, errors={409: exceptions.UsernameExistsError}
        )
        return await self._calls.call(request, wire.Account, "none")

    async def login(self, username: str, password: str) -> wire.Account:
        """Log in. `act_as` is up to the caller.

        Raises:
            AuthenticationError: wrong name or password, or the account is disabled.
        """
        body = wire.Credentials(username, password)
        request = _post(
            api_path("auth", "login"), body, errors={403: exceptions.AuthenticationError}
        )
        return await self._calls.call(request, wire.Account, "none")

    async def users(self) -> list[wire.UserEntry]:
        """List everybody."""
        return await self._calls.rows(_get(api_path("users")), wire.UserEntry, "none")

    # ------------------------------------------------------------ keys

    async def upload_keys(self, keys: wire.KeyUpload) -> wire.KeyUploadResult:
        """Publish the identity and add prekeys. Never repeated: each id goes up once."""
        return await self._calls.call(
            _post(api_path("users", "prekeys"), keys), wire.KeyUploadResult
        )

    async def prekey_status(self) -> wire.PrekeyStatus:
        """Tell what the backend holds of our prekeys."""
        return await self._calls.call(
            _get(api_path("users", "prekeys", "status")), wire.PrekeyStatus
        )

    async def prekey_bundle(self, user_id: str) -> wire.PrekeyBundleBody:
        """Fetch a user's keys. Burns a one-time prekey of theirs, so it is never repeated.

        Raises:
            SessionNotFoundError: no such user, or one who never published keys.
        """
        request = Request(
            "GET",
            api_path("users", user_id, "prekeys"),
            repeatable=False,
            errors={404: exceptions.SessionNotFoundError},
        )
        return await self._calls.call(request, wire.PrekeyBundleBody)

    async def verify_key(self, user_id: str, fingerprint: str, method: str | None = None) -> None:
        """Tell the backend that a fingerprint was compared; method `manual` or `qr_code`."""
        body = wire.VerifyKeyBody(user_id, fingerprint, method)
        await self._do(_post(api_path("verify-key"), body))

    async def verification(self, user_id: str) -> wire.Verification:
        """Tell whether, when and how a user's fingerprint was compared."""
        return await self._calls.call(_get(api_path("verify-key", user_id)), wire.Verification)

    async def unverify_key(self, user_id: str) -> None:
        """Take a verification back."""
        await self._do(_delete(api_path("verify-key", user_id)))

    # ------------------------------------------------------------ messages

    async def iter_history(
        self, peer_id: str, *, after: int | None = None
    ) -> AsyncGenerator[wire.HistoryRow]:
        """Give the conversation with a peer, oldest first, as it arrives.

        The real backend sends all of it each time; rows up to `after` (ms) are left out here.
        Close the generator (`contextlib.aclosing`) where it is not taken to its end.

        Raises:
            ConnectionError: it broke off: what was given is not everything.
        """
        path = api_path("messages", peer_id, user=self.user_id, after=after)
        async with aclosing(self._calls.stream(_get(path), wire.HistoryRow)) as rows:
            async for row in rows:
                if after is None or row.timestamp > after:
                    yield row

    async def store_message(self, message: wire.StoreMessageBody) -> None:
        """Store a message without anybody being told."""
        await self._do(_post(api_path("messages"), message))

    async def set_status(self, message_ids: Sequence[str], status: wire.MessageStatus) -> int:
        """Set the status of up to 98 messages and return how many changed."""
        if not 1 <= len(message_ids) <= wire.STATUS_BATCH:
            raise exceptions.ValidationError(
                f"Give 1 to {wire.STATUS_BATCH} message ids, not {len(message_ids)}"
            )
        request = _put(
            api_path("messages", "status"), wire.StatusBatchBody(list(message_ids), status)
        )
        return (await self._calls.call(request, wire.StatusBatchResult)).updated

    # ------------------------------------------------------------ groups

    async def create_group(self, group: wire.GroupCreate) -> wire.GroupRow:
        """Make a group. A 500 may mean a duplicate or unknown member, and a half-made group."""
        return await self._calls.call(_post(api_path("groups"), group), wire.GroupRow, "user")

    async def groups(self) -> list[wire.GroupRow]:
        """List the groups that this account is in."""
        return await self._calls.rows(_get(api_path("groups")), wire.GroupRow, "user")

    async def group(self, group_id: str) -> wire.GroupRow:
        """Tell about one group; only its members may ask."""
        return await self._calls.call(_get(api_path("groups", group_id)), wire.GroupRow, "user")

    async def update_group(self, group_id: str, changes: wire.GroupUpdate) -> None:
        """Change what is set in `changes`; settings are replaced as a whole."""
        await self._do(_put(api_path("groups", group_id), changes), "user")

    async def group_members(self, group_id: str) -> list[wire.GroupMember]:
        """List a group's members."""
        request = _get(api_path("groups", group_id, "members"))
        return await self._calls.rows(request, wire.GroupMember, "user")

    async def add_group_members(self, group_id: str, user_ids: Sequence[str]) -> list[str]:
        """Add users and return the ids of those who were added."""
        request = _post(api_path("groups", group_id, "members"), wire.MembersAdd(list(user_ids)))
        return (await self._calls.call(request, wire.MembersAddResult, "user")).added

    async def remove_group_member(self, group_id: str, user_id: str) -> None:
        """Remove a member; the owner cannot be."""
        await self._do(_delete(api_path("groups", group_id, "members", user_id)), "user")

    async def set_group_role(self, group_id: str, user_id: str, role: wire.GroupRole) -> None:
        """Make a member `admin` or plain `member`; the owner's right alone."""
        path = api_path("groups", group_id, "members", user_id, "role")
        await self._do(_put(path, wire.RoleBody(role)), "user")

    async def leave_group(self, group_id: str) -> None:
        """Leave a group; its owner cannot."""
        await self._do(_post(api_path("groups", group_id, "leave"), wire.Body()), "user")

    async def group_history(
        self, group_id: str, *, limit: int = GROUP_PAGE, before: int | None = None
    ) -> list[wire.GroupHistoryRow]:
        """Return the newest rows before a time (ms), oldest first.

        Fewer than `limit` come where there are no more, where rows had to be skipped, and where
        pictures would make the page larger than 64 MiB.
        """
        path = api_path("groups", group_id, "messages", limit=limit, before=before)
        page: list[wire.GroupHistoryRow] = []
        size = 0
        async with aclosing(self._calls.stream(_get(path), wire.GroupHistoryRow, "user")) as rows:
            async for row in rows:
                size += len(row.content) + len(row.image_data or "")
                if size > MAX_PAGE_BYTES and limit > 1:
                    break
                page.append(row)
            else:
                return sorted(page, key=lambda row: row.timestamp)
        page.clear()
        return await self.group_history(group_id, limit=limit // 2, before=before)

    async def iter_group_pages(
        self, group_id: str, *, after: int | None = None, before: int | None = None
    ) -> AsyncGenerator[list[wire.GroupHistoryRow]]:
        """Give a group's history page by page, the newest page first, each oldest row first.

        No row comes twice. Begins with what is older than `before` (ms). Ends with the page that
        reaches back to `after` (ms), whose rows and older ones are left out, or with the history
        itself.
        """
        known: set[str] = set()
        for _ in range(_MAX_PAGES):
            page = await self.group_history(group_id, before=before)
            new = [row for row in page if row.id not in known]
            known = {row.id for row in page}
            if wanted := [row for row in new if after is None or row.timestamp > after]:
                yield wanted
            if len(wanted) < len(new) or not page:
                return
            oldest = page[0].timestamp
            if before is not None and oldest >= before:
                break
            # Rows of one millisecond may lie on both sides of a page's edge: the next page takes
            # that millisecond in again, unless it would only be this page once more.
            before = oldest + 1 if new and before != oldest + 1 else oldest
        raise exceptions.BackendError("The history of a group does not come to an end")

    async def create_invite(
        self, group_id: str, *, expires_in: int | None = None, max_uses: int | None = None
    ) -> wire.Invite:
        """Make an invite link; `expires_in` in ms. Admins only."""
        request = _post(
            api_path("groups", group_id, "invite"), wire.InviteCreate(expires_in, max_uses)
        )
        return await self._calls.call(request, wire.Invite, "user")

    async def join_group(self, link_code: str) -> str:
        """Join by an invite link's code and return the group's id."""
        request = _post(api_path("groups", "join"), wire.JoinBody(link_code))
        return (await self._calls.call(request, wire.JoinResult, "user")).group_id

    async def revoke_invite(self, group_id: str, link_id: str) -> None:
        """Revoke an invite link by its id, which is not its code."""
        await self._do(_delete(api_path("groups", group_id, "invite", link_id)), "user")

    # ------------------------------------------------------------ admin

    async def admin_users(self) -> list[wire.AdminUser]:
        """List everybody with role and rights."""
        request = _get(api_path("admin", "users"))
        return await self._calls.rows(request, wire.AdminUser, "user")

    async def set_user_active(self, user_id: str, *, active: bool) -> None:
        """Enable or disable an account."""
        body = wire.UserStatusBody(active, self.user_id)
        await self._do(_put(api_path("admin", "users", user_id, "status"), body), "user")

    async def set_user_images(self, user_id: str, *, allowed: bool) -> None:
        """Grant or take the right to send images."""
        body = wire.UserPermissionsBody(allowed)
        await self._do(_put(api_path("admin", "users", user_id, "permissions"), body), "user")

    async def set_user_role(self, user_id: str, role: str) -> None:
        """Make a user `admin` or plain `user`."""
        path = api_path("admin", "users", user_id, "role")
        await self._do(_put(path, wire.RoleBody(role)), "user")

    async def _do(self, request: Request, auth: Auth = "token") -> None:
        if not (await self._calls.call(request, wire.Success, auth)).success:
            raise exceptions.BackendError(f"{request.method} {request.path}: no success")


def _get(path: str) -> Request:
    return Request("GET", path)


def _put(path: str, body: msgspec.Struct) -> Request:
    return Request("PUT", path, encode_body(body))


def _delete(path: str) -> Request:
    return Request("DELETE", path)


def _post(path: str, body: msgspec.Struct, errors: Errors | None = None) -> Request:
    return Request("POST", path, encode_body(body), repeatable=False, errors=errors or {})
