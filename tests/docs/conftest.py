"""The fixtures of `chatbot.testing`, also where the package is on the path but not installed."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Installed, it has registered itself under its entry point's name."""
    manager = config.pluginmanager
    if not manager.has_plugin("chatbot"):
        manager.import_plugin("chatbot.testing.plugin")
