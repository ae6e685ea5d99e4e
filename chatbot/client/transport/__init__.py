"""How the client reaches its backend: REST over aiohttp, frames over one WebSocket.

Nothing that arrives here is trusted: sizes are bounded, types are checked on decoding, and what
does not fit is counted and dropped. What leaves in clear text leaves to this machine only.
"""

from __future__ import annotations

from typing import Final

from chatbot.version import __version__

USER_AGENT: Final = f"ratchetbot/{__version__}"
"""How this client introduces itself, in REST calls and in the socket's handshake."""
