"""What a person types: `chatbot run`, `chatbot serve` and the rest, and nothing else.

A command is a module. What it works with is imported when it runs, so that `--help` is quick.
"""

from __future__ import annotations

from chatbot.cli.app import main

__all__ = ["main"]
