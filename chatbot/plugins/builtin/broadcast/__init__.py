"""Broadcast: announcements to many people, each of them 1:1 and encrypted, each exactly once.

`announcer.py` begins a broadcast, `ledger.py` keeps a row for each recipient, `courier.py` brings
it to them, batch by batch, at the rate that is configured.
"""

from chatbot.plugins.builtin.broadcast import announcing, joining
from chatbot.plugins.builtin.broadcast.declared import plugin

__all__ = ["announcing", "joining", "plugin"]
