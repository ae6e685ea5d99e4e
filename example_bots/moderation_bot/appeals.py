"""Appeals: whoever was put out of a group asks the bot's moderators, 1:1, to think again."""

from __future__ import annotations

from msgspec import Struct
from pydantic import BaseModel, Field

from chatbot import Bot, Context, Plugin, Rest, Store, UsageError

APPEAL = "appeal/"
MAX_APPEAL = 500


class AppealsConfig(BaseModel):
    """How much one person may ask for.

    Attributes:
        most: appeals of one person that wait for an answer.
    """

    most: int = Field(default=1, ge=1, le=10)


class Appeal(Struct, frozen=True):
    """Somebody's words against a case."""

    number: int
    user: str
    username: str
    text: str


plugin = Plugin(
    "appeals",
    description="Ask the moderators to think again",
    config=AppealsConfig,
    requires=["moderation"],
)


@plugin.command("appeal", chats="direct", privileged=True)
async def appeal(ctx: Context, store: Store, config: AppealsConfig, text: Rest) -> str:
    """Say why you should be let back in."""
    if len(text) > MAX_APPEAL:
        raise UsageError(f"expected at most {MAX_APPEAL} characters")
    own = [a async for _, a in store.range(APPEAL, Appeal) if a.user == ctx.user.id]
    if len(own) >= config.most:
        raise UsageError("your last appeal waits for an answer")
    number = await store.incr("appeals")
    new = Appeal(number=number, user=ctx.user.id, username=ctx.user.username, text=text)
    await store.set(_key(number), new)
    return f"The moderators will read it (appeal {number})."


@plugin.command("appeals", chats="direct", role="moderator")
async def appeals(store: Store) -> str:
    """Show the appeals that wait, the oldest first."""
    waiting = [a async for _, a in store.range(APPEAL, Appeal, limit=20)]
    return "\n".join(f"{a.number}. @{a.username}: {a.text}" for a in waiting) or "Nobody appeals."


@plugin.command("answer", chats="direct", role="moderator")
async def answer(bot: Bot, store: Store, number: int, text: Rest) -> str:
    """Answer an appeal: whoever wrote it reads TEXT."""
    found = await store.get(_key(number), Appeal)
    if found is None:
        raise UsageError(f"there is no appeal {number}")
    await store.delete(_key(number))
    # Sent and forgotten in one commit: a crash neither loses the answer nor sends it twice.
    await bot.send(found.user, f"About your appeal: {text}", at_end=True)
    return f"@{found.username} will read it."


def _key(number: int) -> str:
    return f"{APPEAL}{number:010}"
