"""A trace as a person would want to read it: planning tokens coloured by what they do. One file, opens offline."""

from __future__ import annotations

import codecs
import html
from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple

from hicra_verl.grams.gramset import FUNCTIONS
from hicra_verl.palette import function_rules

_STYLE = """
body{font:16px/1.65 Georgia,serif;color:#1a1a1a;background:#fdfdfb;max-width:46rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem} .meta,nav,summary{font:13px/1.6 system-ui,sans-serif;color:#555}
details{border-top:1px solid #ddd;padding:.6rem 0} summary{cursor:pointer} summary b{color:#1a1a1a}
.text{white-space:pre-wrap;overflow-wrap:anywhere;margin:.6rem 0}
mark{color:inherit;border-radius:3px;padding:1px 0;text-decoration-line:underline;text-underline-offset:3px;
text-decoration-thickness:2px;text-decoration-color:#0006}
""" + function_rules("mark.{name}{background:{pale};text-decoration-style:{underline}}")


class Trace(NamedTuple):
    """One response: its heading, the text of each token (length T), and the function of each (None: execution)."""

    heading: str
    pieces: list[str]
    functions: list[str | None]
    grams: list[list[Any]]


def render(traces: Iterable[Trace], title: str, note: str) -> str:
    """The whole page. ``note`` says what made it."""
    legend = " ".join(f'<mark class="{name}">{name}</mark>' for name in FUNCTIONS)
    body = "".join(_render_trace(trace, opened=index == 0) for index, trace in enumerate(traces))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        f'<p class="meta">{html.escape(note)}</p><nav>{legend}</nav>{body}</html>\n'
    )


def _render_trace(trace: Trace, opened: bool) -> str:
    planning = sum(function is not None for function in trace.functions)
    fraction = planning / max(1, len(trace.functions))
    ends_at = {end: gram for gram, _, end in trace.grams}
    runs = []
    token = 0
    for function, group in groupby(zip(trace.functions, trace.pieces, strict=True), key=lambda pair: pair[0]):
        pieces = [piece for _, piece in group]
        names = [ends_at[end] for end in range(token + 1, token + len(pieces) + 1) if end in ends_at]
        token += len(pieces)
        text = html.escape("".join(pieces))
        tip = html.escape(" · ".join(names), quote=True)
        runs.append(f'<mark class="{function}" title="{tip}">{text}</mark>' if function else text)
    return (
        f"<details{' open' if opened else ''}><summary><b>{html.escape(trace.heading)}</b> · {len(trace.pieces)} tokens"
        f' · {fraction:.1%} planning</summary><div class="text">{"".join(runs)}</div></details>'
    )


def token_texts(token_ids: list[int], token_bytes: list[bytes | None], tokenizer: Any) -> list[str]:
    """The text of each token; a character split over tokens is shown with the token that completes it."""
    texts: list[str] = []
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in token_ids:
        known = 0 <= token < len(token_bytes)
        raw = token_bytes[token] if known else None
        if raw is None:
            name = tokenizer.convert_ids_to_tokens(token) if known else None
            texts.append(decoder.decode(b"", final=True) + (name or f"<token {token}>"))
        else:
            texts.append(decoder.decode(raw))
    if texts:
        texts[-1] += decoder.decode(b"", final=True)
    return texts
