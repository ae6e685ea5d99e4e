"""Where a test makes no sense, and why."""

from __future__ import annotations

import os
from typing import Final

import pytest

POSIX_ONLY: Final = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes and limits")

NOT_AS_ROOT: Final = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
