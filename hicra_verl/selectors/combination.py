"""Selectors made of others: ``selector=union selector_args.of=[grams,{high_entropy:{fraction:0.1}}]``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from hicra_verl.extensions import SELECTORS, Extension, HicraConfigError
from hicra_verl.rollout import RolloutBatch


class _Combination:
    def __init__(self, of: list[Any]) -> None:
        self.parts = [_build(word) for word in of]
        if len(self.parts) < 2:
            raise HicraConfigError("algorithm.hicra.selector_args.of: expected two selectors or more")
        self.needs = tuple({name: None for part in self.parts for name in part.needs})

    def _combined(self, batch: RolloutBatch, combine: Callable[..., torch.Tensor]) -> torch.Tensor:
        masks = [part.call(batch) for part in self.parts]
        whole: torch.Tensor = functools.reduce(combine, [mask.float() for mask in masks])
        return whole.bool() if all(mask.dtype == torch.bool for mask in masks) else whole


@SELECTORS.register("union")
class Union(_Combination):
    """The tokens that any of several selectors choose; of weights, the largest (ours)."""

    def __call__(self, batch: RolloutBatch) -> torch.Tensor:
        return self._combined(batch, torch.maximum)


@SELECTORS.register("intersection")
class Intersection(_Combination):
    """The tokens that all of several selectors choose; of weights, the smallest (ours)."""

    def __call__(self, batch: RolloutBatch) -> torch.Tensor:
        return self._combined(batch, torch.minimum)


def _build(word: Any) -> Extension:
    """A selector given by its name, or by its name and its arguments."""
    if isinstance(word, str):
        return SELECTORS.build(word, {})
    if isinstance(word, dict) and len(word) == 1:
        [(name, arguments)] = word.items()
        if isinstance(name, str) and isinstance(arguments, dict):
            return SELECTORS.build(name, arguments)
    raise HicraConfigError(
        f"algorithm.hicra.selector_args.of: {word!r} is neither a name nor a name with arguments, such as "
        "{high_entropy: {fraction: 0.2}}"
    )
