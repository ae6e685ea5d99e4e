"""Fuzzing that looks for new ways through the code: `python -m fuzz.guided TARGET -runs=100000`.

Needs atheris (`pip install '.[fuzz]'`), which goes on until something is found or libFuzzer's own
options, behind the target's name, say otherwise. It ends with an error at what it finds.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def main() -> None:
    """Fuzz one target."""
    name, options = sys.argv[1], sys.argv[2:]
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["chatbot"]):
        module = import_module("fuzz.targets")
    with module.all_targets() as targets, TemporaryDirectory(prefix="corpus-") as corpus:
        (target,) = (target for target in targets if target.name == name)
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], corpus, *options], target.read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
