"""What a person types: `chatbot run`, `chatbot serve` and the rest, and nothing else.

A command is a module. What it works with is imported when it runs, so that `--help` is quick.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; Ctrl-C is quiet even while its modules are being imported."""
    try:
        from chatbot.cli.app import main as run  # noqa: PLC0415 - see above

        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
