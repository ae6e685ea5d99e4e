"""How the client reaches its backend: REST over aiohttp, frames over one WebSocket.

Nothing that arrives here is trusted: sizes are bounded, types are checked on decoding, and what
does not fit is counted and dropped. What leaves in clear text leaves to this machine only.
"""
