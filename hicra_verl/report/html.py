"""The page itself: the template with its style and scripts put in, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from importlib import resources
from typing import Any

from hicra_verl.pages import fill
from hicra_verl.report.pieces import as_json, packed

PAGE = "page"
"""The folder of the template, ``page.html``, its style and its scripts."""


def render(manifest: dict[str, Any], pieces: Mapping[str, bytes] | None) -> str:
    """The page.

    Args:
        manifest: what it reads first.
        pieces: all pieces of one page, as base64; None for the page of a folder, which loads the others as files.
    """
    script, library = _script(), plotly()
    held = pieces if pieces is not None else {"manifest": packed(as_json(manifest))}
    parts = {
        "TITLE": html.escape(manifest["title"]),
        "POLICY": html.escape(_policy([script] if pieces is None else [library, script], files=pieces is None)),
        "STYLE": _source("page.css"),
        "PIECES": "\n".join(_held(name, content) for name, content in sorted(held.items())),
        "PLOTLY": '<script src="plotly.js"></script>' if pieces is None else f"<script>{library}</script>",
        "SCRIPT": script,
    }
    return fill("hicra_verl.report", f"{PAGE}/page.html", parts)


def _script() -> str:
    """All of the page's scripts as one: the store first, the start last, the others by name between."""
    found = resources.files("hicra_verl.report").joinpath(PAGE).iterdir()
    names = {file.name for file in found if file.name.endswith(".js")} - {"store.js", "app.js"}
    return '"use strict";\n' + "".join(_source(name) for name in ("store.js", *sorted(names), "app.js"))


def plotly() -> str:
    """The library of charts, a file of its own in a folder."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _source(name: str) -> str:
    return resources.files("hicra_verl.report").joinpath(f"{PAGE}/{name}").read_text(encoding="utf-8")


def _held(name: str, content: bytes) -> str:
    return f'<script type="text/plain" data-piece="{name}">{content.decode("ascii")}</script>'


def _policy(scripts: list[str], files: bool) -> str:
    """Only these scripts run, and files beside the page; nothing is fetched, sent or framed."""
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts]
    sources = " ".join([*hashes, *(["'self'", "file:"] if files else [])])
    return (
        f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data: blob: 'self'; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
