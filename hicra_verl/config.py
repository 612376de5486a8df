"""The settings of HICRA, as they stand under ``algorithm.hicra`` in verl's configuration."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

ESTIMATOR = "hicra"
"""The value of ``algorithm.adv_estimator`` that turns HICRA on."""

TOKENS = ("planning", "high_entropy")
"""The tokens whose advantage can be shaped."""


class HicraConfigError(ValueError):
    """A wrong key or value under ``algorithm.hicra``; the message names the remedy."""


def nearest(word: str, candidates: list[str]) -> str:
    """A "did you mean" clause for ``word``, followed by all candidates."""
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(sorted(candidates))}."


@dataclass(frozen=True)
class HicraConfig:
    """HICRA's settings.

    Attributes:
        alpha: share of ``|A|`` added on planning tokens, 0 <= alpha < 1. Paper: 0.2; 0 gives the base estimator.
        base: the verl estimator that computes the advantage HICRA shapes. Paper: GRPO.
        grams: the strategic grams: the name of a shipped set, or the path of a gram-set file. Paper: its own list.
        tokens: whose advantage is shaped: ``planning``, or ``high_entropy`` for the comparison in which the tokens of
            highest entropy take the place of planning tokens (V1 trainer only).
        entropy_share: how many tokens count as high-entropy, 0 < share < 1. Paper: the top 30%.
        measure_only: measure as a HICRA run does, and shape nothing: for baselines under another estimator.
        allow_no_match: go on even if no gram matches anywhere in the first batch.
        traces: responses of each step to keep token by token for `hicra report` (V1 trainer only).
    """

    alpha: float = 0.2
    base: str = "grpo"
    grams: str = "paper"
    tokens: str = "planning"
    entropy_share: float = 0.3
    measure_only: bool = False
    allow_no_match: bool = False
    traces: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, int | float) or not 0 <= self.alpha < 1:
            raise HicraConfigError(
                f"algorithm.hicra.alpha={self.alpha!r}: expected a number with 0 <= alpha < 1 (the paper uses 0.2; at "
                "1 a planning token of a failed response would get no blame at all)"
            )
        if not isinstance(self.base, str) or not self.base:
            raise HicraConfigError(f"algorithm.hicra.base={self.base!r}: expected the name of a verl estimator")
        if self.base == ESTIMATOR:
            raise HicraConfigError("algorithm.hicra.base='hicra': HICRA cannot be its own base; try grpo")
        if not isinstance(self.grams, str) or not self.grams:
            raise HicraConfigError(
                f"algorithm.hicra.grams={self.grams!r}: expected the name of a gram set or the path of its file"
            )
        if self.tokens not in TOKENS:
            raise HicraConfigError(f"algorithm.hicra.tokens={self.tokens!r}: {nearest(str(self.tokens), list(TOKENS))}")
        for name in ("measure_only", "allow_no_match"):
            if not isinstance(getattr(self, name), bool):
                raise HicraConfigError(f"algorithm.hicra.{name}={getattr(self, name)!r}: expected true or false")
        if isinstance(self.traces, bool) or not isinstance(self.traces, int) or self.traces < 0:
            raise HicraConfigError(f"algorithm.hicra.traces={self.traces!r}: expected a number of responses, 0 or more")
        share = self.entropy_share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise HicraConfigError(
                f"algorithm.hicra.entropy_share={share!r}: expected a number with 0 < share < 1 (the paper uses 0.3)"
            )

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any] | None) -> HicraConfig:
        """Build the settings from ``algorithm.hicra``, which may be absent.

        Raises:
            HicraConfigError: on an unknown key (naming the nearest known one) or a value out of range.
        """
        if settings is None:
            return cls()
        if not isinstance(settings, Mapping):
            raise HicraConfigError(f"algorithm.hicra={settings!r}: expected settings such as algorithm.hicra.alpha=0.2")
        known = [field.name for field in fields(cls)]
        for key in settings:
            if key not in known:
                raise HicraConfigError(f"algorithm.hicra.{key}: no such setting; {nearest(str(key), known)}")
        return cls(**{str(key): value for key, value in settings.items()})
