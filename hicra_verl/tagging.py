"""Tag saved responses with their planning tokens: what ``hicra tag`` does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hicra_verl import trace_html
from hicra_verl.files import check_outputs, write_text, writing
from hicra_verl.grams.functions import token_functions
from hicra_verl.grams.gramset import GramSet, load_grams
from hicra_verl.grams.matcher import GramMatcher, Matches
from hicra_verl.grams.token_bytes import load_tokenizer
from hicra_verl.records import Record, read_records, short
from hicra_verl.version import __version__


@dataclass
class Totals:
    """What the closing table shows."""

    responses: int = 0
    responses_without_planning: int = 0
    tokens: int = 0
    planning_tokens: int = 0
    by_gram: Counter[int] = field(default_factory=Counter)


def tag_file(
    source: Path,
    tokenizer: str,
    grams: str,
    output: Path | None = None,
    html: Path | None = None,
    text_field: str = "response",
    html_rows: int = 50,
    progress: Callable[[list[Record]], Iterable[Record]] = iter,
) -> tuple[Totals, GramSet]:
    """Tag every row of a file.

    Args:
        source: a JSONL or Parquet file.
        tokenizer: folder or hub name.
        grams: name or path of a gram set.
        output: where the tagged rows go, if anywhere.
        html: where the page goes, if anywhere.
        text_field: the field with the text, where a row has no ``token_ids``.
        html_rows: at most this many traces on the page.
        progress: shows how far it is, row by row.

    Raises:
        HicraError: naming the file, the line, the field and the remedy; then nothing has been written.
    """
    gram_set = load_grams(grams)
    outputs = [path for path in (output, html) if path is not None]
    check_outputs(*outputs, inputs=[source, Path(grams).expanduser()], folders=[Path(tokenizer)])
    rows = list(read_records(source))  # before the tokenizer, whose library takes seconds to import
    loaded, table = load_tokenizer(tokenizer)
    matcher = GramMatcher(gram_set, table)
    totals = Totals()
    traces: list[trace_html.Trace] = []
    with ExitStack() as stack:
        target = stack.enter_context(writing(output)) if output else None
        for row in progress(rows):
            ids = row_token_ids(row, loaded, len(table), text_field)
            matches, added = tag(ids, matcher)
            add_to_totals(totals, matches)
            if target:
                target.write(_as_line({**row.data, **added}))
            if html and len(traces) < html_rows:
                heading = _printable(str(row.data.get("uid", f"line {row.line}")))
                pieces = trace_html.token_texts(ids, table, loaded)
                traces.append(trace_html.Trace(heading, pieces, token_functions(matches, gram_set), added["grams"]))
        if html:
            note = f"{source.name} · gram set {gram_set.name} ({gram_set.sha256[:12]}) · hicra {__version__}"
            write_text(html, trace_html.render(traces, "Planning tokens", _printable(note)))
    return totals, gram_set


def row_token_ids(row: Record, tokenizer: Any, vocabulary: int, text_field: str = "response") -> list[int]:
    """The row's ``token_ids``, or the tokens of its text.

    Args:
        row: the row.
        tokenizer: turns text into ids.
        vocabulary: ids from 0 to below this are the tokenizer's.
        text_field: the field with the text.

    Raises:
        InputError: if the row has neither, one of the wrong type, or an id that is not the tokenizer's.
    """
    if "token_ids" not in row.data:
        text = row.text(text_field, remedy="give 'token_ids', or name the field with the text (--field)")
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    ids = row.data["token_ids"]
    if not isinstance(ids, list) or not all(isinstance(token, int) and not isinstance(token, bool) for token in ids):
        raise row.error("expected a list of integers", "token_ids")
    foreign = next((place for place, token in enumerate(ids) if not 0 <= token < vocabulary), None)
    if foreign is not None:
        raise row.error(
            f"id {short(ids[foreign])} at place {foreign} is not the tokenizer's, whose ids end at {vocabulary - 1}",
            "token_ids",
            "give the tokenizer that made them",
        )
    return ids


def _as_line(row: dict[str, Any]) -> str:
    # Half of a character in a field that is passed on is escaped, as it came.
    return json.dumps(row, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace").decode() + "\n"


def _printable(text: str) -> str:
    return text.encode("utf-8", errors="replace").decode("utf-8")


def tag(token_ids: list[int], matcher: GramMatcher) -> tuple[Matches, dict[str, Any]]:
    """Tag one response.

    Returns:
        The matches, and the fields ``hicra tag`` adds to the row: ``token_ids``; ``planning_mask`` (0 or 1 a token);
        ``grams``, leftmost-longest, as ``[gram, first_token, end_token]``.
    """
    matches = matcher.match(np.array([token_ids], dtype=np.int64).reshape(1, -1))
    order = np.flatnonzero(matches.counted)
    order = order[np.lexsort((matches.first_token[order],))]
    columns = (column[order].tolist() for column in (matches.gram, matches.first_token, matches.end_token))
    grams = [[matcher.grams.grams[gram].text, first, end] for gram, first, end in zip(*columns, strict=True)]
    mask = matches.planning_mask[0].astype(int).tolist()
    return matches, {"token_ids": token_ids, "planning_mask": mask, "grams": grams}


def add_to_totals(totals: Totals, matches: Matches) -> None:
    """Count one tagged response."""
    planning = int(matches.planning_mask.sum())
    totals.responses += 1
    totals.responses_without_planning += planning == 0
    totals.tokens += matches.planning_mask.shape[1]
    totals.planning_tokens += planning
    totals.by_gram.update(matches.gram[matches.counted].tolist())
