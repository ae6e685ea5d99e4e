"""`make bench`: everything that is measured, one after the other."""

from __future__ import annotations

from benchmarks import client, dispatch, echo, ratchet


def main() -> None:
    """Run all benchmarks."""
    ratchet.main()
    dispatch.main()
    client.main()
    echo.main()


if __name__ == "__main__":
    main()
