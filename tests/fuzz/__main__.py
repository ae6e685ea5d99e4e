"""The long form: `python -m fuzz`, a million inputs; exits 0 if all were digested."""

from __future__ import annotations

import argparse
import sys
from random import Random

from fuzz.campaign import campaign
from fuzz.targets import all_targets


def main() -> int:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for all targets together")
    parser.add_argument("--seed", type=int, default=None, help="default: another one every time")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else Random().randrange(1 << 30)
    sys.stdout.write(f"seed {seed}\n")
    with all_targets() as targets:
        failed = 0
        for result in campaign(targets, -(-given.inputs // len(targets)), seed):
            sys.stdout.write(f"{result}\n")
            for data, why in result.failures:
                sys.stdout.write(f"    {data!r}\n        {why}\n")
            sys.stdout.flush()
            failed += result.failed
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
