"""How Sphinx builds the documentation: `make docs`."""

from __future__ import annotations

from typing import Any, Final

from sphinx.application import Sphinx

from chatbot.version import __version__

project = "chatbot"
author = "the chatbot developers"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Docstrings are written for people who read the source: a name between backquotes is code.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True

exclude_patterns = ["_build"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!chatbot\.).*"),  # of Python and of other packages, which are described elsewhere
    ("py:.*", r"chatbot\.[\w.]+\.(D|F|T|Handler)"),  # type variables
    ("py:.*", r"chatbot\.plugins\.declarations\..*"),  # made by decorators, not by hand
    (
        "py:.*",
        r"chatbot\.[\w.]+\.(Assembly|BotOptions|Clock|InboxEntry|Source|_\w+)",
    ),  # met by nobody
]

html_theme = "furo"
html_title = f"chatbot {__version__}"

_INDENT: Final = 4


def mark_examples(
    _app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """Let indented blocks of docstrings be shown as code: an empty line and four spaces say so."""
    marked: list[str] = []
    within: int | None = None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        above = marked[-2] if len(marked) > 1 else ""
        depth = len(above) - len(above.lstrip())
        if within is not None and line.strip() and indent < within:
            within = None
        begins = marked and not marked[-1].strip() and above.strip() and line.strip()
        if within is None and begins and indent >= depth + _INDENT and line.lstrip()[:1] != ">":
            marked[-1:] = ["", " " * depth + "::", ""]
            within = indent
        marked.append(line)
    lines[:] = marked


def setup(app: Sphinx) -> None:
    """Connect what is ours; napoleon takes docstrings apart behind it."""
    app.connect("autodoc-process-docstring", mark_examples, priority=400)
