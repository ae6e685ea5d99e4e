"""How Sphinx builds the documentation: `make docs`."""

from __future__ import annotations

from chatbot.version import __version__

project = "chatbot"
author = "the chatbot developers"
release = version = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"chatbot {__version__}"
