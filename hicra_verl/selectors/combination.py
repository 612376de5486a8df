"""Selectors made of others: ``selector=union selector_args={of: [grams, {high_entropy: {fraction: 0.1}}]}``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import torch

from hicra_verl.extensions import SELECTORS, Extension, HicraConfigError
from hicra_verl.rollout import RolloutBatch


class _Combination:
    """Several selectors; their states and metrics are the parts' own, by the parts' numbers."""

    combine: ClassVar[Callable[..., torch.Tensor]]

    def __init__(self, of: list[Any]) -> None:
        self.parts = [_build(word) for word in of]
        if len(self.parts) < 2:
            raise HicraConfigError("algorithm.hicra.selector_args.of: expected two selectors or more")
        self.needs = tuple({name: None for part in self.parts for name in part.needs})
        if any(part.stateful for part in self.parts):
            self.state_dict, self.load_state_dict = self._state_dict, self._load_state_dict

    def __call__(self, batch: RolloutBatch) -> torch.Tensor:
        masks = [batch.checked_mask(part.call(batch), f"the selector {part.name}") for part in self.parts]
        whole: torch.Tensor = functools.reduce(type(self).combine, [mask.float() for mask in masks])
        return whole.bool() if all(mask.dtype == torch.bool for mask in masks) else whole

    def metrics(self) -> dict[str, float]:
        """The parts' metrics."""
        return {f"{n}/{key}": value for n, part in enumerate(self.parts) for key, value in part.metrics().items()}

    def _state_dict(self) -> dict[str, Any]:
        return {str(n): part.call.state_dict() for n, part in enumerate(self.parts) if part.stateful}

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        for number, kept in state.items():
            self.parts[int(number)].call.load_state_dict(kept)


@SELECTORS.register("union")
class Union(_Combination):
    """The tokens that any of several selectors choose; of weights, the largest (ours).

    ``selector_args={of: [grams, {high_entropy: {fraction: 0.1}}]}``; one of your own: ``guest:long_tokens``, or with
    arguments ``{selector: guest:long_tokens, args: {at_least: 10}}``.
    """

    combine = staticmethod(torch.maximum)


@SELECTORS.register("intersection")
class Intersection(_Combination):
    """The tokens that all of several selectors choose; of weights, the smallest (ours). Written as ``union`` is."""

    combine = staticmethod(torch.minimum)


def _build(word: Any) -> Extension:
    """A selector given by its name, by name and arguments, or as ``{selector: package.module:Object, args: {…}}``."""
    if isinstance(word, dict) and set(word) == {"selector", "args"}:
        name, arguments = word["selector"], word["args"]
    elif isinstance(word, dict) and len(word) == 1:
        [(name, arguments)] = word.items()
    else:
        name, arguments = word, {}
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise HicraConfigError(
            f"algorithm.hicra.selector_args.of: {word!r} is neither a name nor a name with arguments, such as "
            "{high_entropy: {fraction: 0.2}}"
        )
    return SELECTORS.build(name, arguments)
