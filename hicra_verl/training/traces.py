"""Some responses of each step, token by token, for `hicra report`: what each token's entropy and advantage were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hicra_verl.files import make_folder, write_text
from hicra_verl.grams.functions import token_functions
from hicra_verl.grams.gramset import FUNCTIONS, GramSet
from hicra_verl.grams.matcher import Matches
from hicra_verl.records import Record
from hicra_verl.rollout import RolloutBatch
from hicra_verl.verl_formats.dumps import lines_of

if TYPE_CHECKING:
    import torch

FOLDER = "hicra_traces"
TokenTexts = Callable[[list[int]], list[str]]


class TraceWriter:
    """Keeps the first responses of each step and writes them to ``FOLDER/STEP.jsonl``.

    A line holds ``group``, ``score``, and lists of one entry a token: ``tokens`` (text), ``function`` (of the longest
    gram over it, null for execution), ``entropy_nats``, ``log_prob`` (nats), ``probability_difference`` (of the trained
    policy and the rollout engine's), ``base_advantage`` and ``advantage`` (as the actor receives it). What the trainer
    does not keep is null.

    Args:
        folder: the run's checkpoint folder.
        count: responses of each step.
        token_texts: the texts of token ids.
        grams: the gram set in force.
    """

    def __init__(self, folder: Path, count: int, token_texts: TokenTexts, grams: GramSet) -> None:
        self._folder, self._count, self._texts, self._grams = folder / FOLDER, count, token_texts, grams
        self._kept: list[dict[str, Any]] = []

    def add(self, batch: RolloutBatch, matches: Matches, base: torch.Tensor, shaped: torch.Tensor) -> None:
        """Keep what is still wanted of a batch, with the advantages (B, T) before and after shaping."""
        difference = None
        if batch.log_probs is not None and batch.rollout_log_probs is not None:
            difference = batch.log_probs.exp() - batch.rollout_log_probs.exp()
        numbers = {
            "entropy_nats": (batch.entropies, 4),
            "log_prob": (batch.log_probs, 4),
            "probability_difference": (difference, 6),
            "base_advantage": (base, 5),
            "advantage": (shaped, 5),
        }
        own, responses = batch.response_mask, batch.token_ids
        rows = own.any(dim=1).nonzero().flatten()[: self._count - len(self._kept)].tolist()
        for row in rows:
            function = token_functions(matches, self._grams, row)
            columns = own[row].nonzero().flatten().tolist()
            self._kept.append(
                {
                    "group": None if batch.groups is None else str(batch.groups[row]),
                    "score": None if batch.scores is None else float(batch.scores[row]),
                    "tokens": self._texts([int(responses[row, column]) for column in columns]),
                    "function": [function[column] for column in columns],
                    **{name: _rounded(values, row, columns, digits) for name, (values, digits) in numbers.items()},
                }
            )

    def write(self, step: int) -> None:
        """Write what was kept since the last call as this step's."""
        kept, self._kept = self._kept, []
        if kept:
            make_folder(self._folder)
            lines = "".join(json.dumps(trace, ensure_ascii=False) + "\n" for trace in kept)
            write_text(self._folder / f"{step}.jsonl", lines)


def _rounded(values: torch.Tensor | None, row: int, columns: list[int], digits: int) -> list[float | None]:
    if values is None:
        return [None] * len(columns)
    kept = values[row].tolist()
    return [round(kept[column], digits) for column in columns]


NUMBERS = ("entropy_nats", "log_prob", "probability_difference", "base_advantage", "advantage")


def read_traces(path: Path, gaps: list[str] | None = None) -> list[dict[str, Any]]:
    """The responses of one step, as ``TraceWriter`` wrote them; numbers that are not finite become None.

    Raises:
        InputError: naming the line and the field that is not as it wrote it.
    """
    return [_checked(row) for row in lines_of(path, gaps)]


def _checked(row: Record) -> dict[str, Any]:
    tokens = row.data.get("tokens")
    score = _finite(row, "score", row.data.get("score"))
    found: dict[str, Any] = {"group": str(row.data.get("group")), "score": score, "tokens": tokens}
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise row.error("expected a list of texts", "tokens", REMEDY)
    for name in ("function", *NUMBERS):
        # Runs of earlier versions kept fewer numbers.
        values = row.data.get(name, None if name in ("function", "advantage") else [None] * len(tokens))
        if not isinstance(values, list) or len(values) != len(tokens):
            raise row.error(f"expected a list of {len(tokens)} entries, one a token", name, REMEDY)
        found[name] = values if name == "function" else [_finite(row, name, value) for value in values]
    if not all(value is None or value in FUNCTIONS for value in found["function"]):
        raise row.error(f"expected null or one of {', '.join(FUNCTIONS)}", "function", REMEDY)
    return found


REMEDY = "remove the line, or the file, to leave it out"


def _finite(row: Record, name: str, value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise row.error("expected a number or null", name, REMEDY)
    return value if value is not None and abs(value) <= 1e300 else None
