"""What the tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.command_line import CommandLine, command_line_in


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    """`chatbot`, started in the test's own folder."""
    return command_line_in(tmp_path)
