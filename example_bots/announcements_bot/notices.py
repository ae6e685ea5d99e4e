"""Notices: whoever gets the news may hand some in; a digest goes out on Fridays."""

from __future__ import annotations

from msgspec import Struct
from pydantic import BaseModel, Field

from chatbot import Bot, Context, Plugin, Rest, Store, UsageError

NOTICE = "notice/"
MAX_NOTICE = 500


class NoticesConfig(BaseModel):
    """Where the digest goes, and how much of it.

    Attributes:
        audience: one of the broadcast plugin's.
        most: how many notices one person may hand in for one digest.
    """

    audience: str = "news"
    most: int = Field(default=3, ge=1, le=100)


class Notice(Struct, frozen=True):
    """Something for the next digest."""

    text: str
    by: str


plugin = Plugin(
    "notices",
    description="A weekly digest of what people hand in",
    config=NoticesConfig,
    requires=["broadcast"],
)


@plugin.command("notice", chats="direct", privileged=True)
async def notice(ctx: Context, store: Store, config: NoticesConfig, text: Rest) -> str:
    """Hand in TEXT for the next digest."""
    if len(text) > MAX_NOTICE:
        raise UsageError(f"at most {MAX_NOTICE} characters fit into the digest")
    own = [key async for key, _ in store.range(f"{NOTICE}{ctx.user.id}/", Notice)]
    if len(own) >= config.most:
        raise UsageError(f"you have handed in {config.most} for the next digest already")
    number = await store.incr("notices")
    key = f"{NOTICE}{ctx.user.id}/{number:010}"
    await store.set(key, Notice(text=text, by=ctx.user.username))
    return "It will be in the next digest."


@plugin.command("digest", chats="direct", role="admin")
async def digest(store: Store) -> str:
    """Show what the next digest would be."""
    return await compose(store) or "Nothing was handed in yet."


@plugin.job(cron="0 16 * * fri")
async def send_digest(bot: Bot, store: Store, config: NoticesConfig) -> None:
    """Send it, once, whatever crashes: it is forgotten together with its being sent."""
    text = await compose(store)
    if text:
        await bot.broadcast(config.audience, text)
    async for key, _ in store.range(NOTICE, Notice):
        await store.delete(key)


async def compose(store: Store) -> str:
    """The digest; empty where nothing was handed in."""
    notices = sorted([(key[-10:], notice) async for key, notice in store.range(NOTICE, Notice)])
    lines = [f"- {notice.text} ({notice.by})" for _, notice in notices]
    return "\n".join(("This week:", *lines)) if lines else ""
