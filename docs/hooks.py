"""Docstrings are written for Python's help(); here their cross references become plain names."""

from __future__ import annotations

import re

_ROLE = re.compile(r":(?:class|func|meth|mod|attr|exc):<code>~?([\w.@]+)</code>")


def on_page_content(html: str, **_: object) -> str:
    """``:func:`~package.name``` becomes ``name``; called by MkDocs for each page."""
    return _ROLE.sub(lambda match: f"<code>{match[1].rpartition('.')[2]}</code>", html)
