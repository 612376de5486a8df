"""Some responses of each step, token by token, for `hicra report`: what each token's entropy and advantage were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import Matches
from hicra_verl.training.measures import Facts

FOLDER = "hicra_traces"
TokenTexts = Callable[[list[int]], list[str]]


class TraceKeeper:
    """Keeps the first responses of each step and writes them to ``FOLDER/STEP.jsonl``.

    A line holds ``group``, ``score``, and lists of one entry a token: ``tokens`` (text), ``function`` (of the gram over
    it, null for execution), ``entropy_nats`` (null where the trainer keeps none), ``advantage`` (as the actor receives
    it).

    Args:
        folder: the run's checkpoint folder.
        count: responses of each step.
        token_texts: the texts of token ids.
        grams: the gram set in force.
    """

    def __init__(self, folder: Path, count: int, token_texts: TokenTexts, grams: GramSet) -> None:
        self._folder, self._count, self._texts, self._grams = folder / FOLDER, count, token_texts, grams
        self._kept: list[dict[str, Any]] = []

    def add(
        self, responses: torch.Tensor, own: torch.Tensor, matches: Matches, shaped: torch.Tensor, facts: Facts
    ) -> None:
        """Keep what is still wanted of a batch; all tensors are (B, T), on any device."""
        rows = own.any(dim=1).nonzero().flatten()[: self._count - len(self._kept)].tolist()
        chosen = matches.counted
        places = np.stack([matches.row, matches.first_token, matches.end_token, matches.gram])[:, chosen]
        for row in rows:
            function: list[str | None] = [None] * responses.shape[1]
            for _, first, end, gram in places[:, places[0] == row].T.tolist():
                function[first:end] = [self._grams.grams[gram].function] * (end - first)
            columns = own[row].nonzero().flatten().tolist()
            entropy = None if facts.entropy is None else facts.entropy[row].tolist()
            advantages = shaped[row].tolist()
            self._kept.append(
                {
                    "group": None if facts.groups is None else str(facts.groups[row]),
                    "score": None if facts.scores is None else float(facts.scores[row]),
                    "tokens": self._texts([int(responses[row, column]) for column in columns]),
                    "function": [function[column] for column in columns],
                    "entropy_nats": [None if entropy is None else round(entropy[column], 4) for column in columns],
                    "advantage": [round(advantages[column], 5) for column in columns],
                }
            )

    def write(self, step: int) -> None:
        """Write what was kept since the last call as this step's."""
        kept, self._kept = self._kept, []
        if kept:
            self._folder.mkdir(parents=True, exist_ok=True)
            lines = "".join(json.dumps(trace, ensure_ascii=False) + "\n" for trace in kept)
            (self._folder / f"{step}.jsonl").write_text(lines, encoding="utf-8")
