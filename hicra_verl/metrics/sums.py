"""Sums over the tokens of a batch, in threads.

Parts of the batch are summed by themselves, in double precision, and the parts exactly: the result depends neither on
the number of threads nor on which comes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hicra_verl.parallel import in_threads

if TYPE_CHECKING:
    import torch

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

_PART_TOKENS = 1 << 17  # what is at hand then stays in a core's own cache


def in_parts(tokens: int) -> list[slice]:
    """Numbers of tokens, laid end to end, some at a time."""
    return [slice(start, start + _PART_TOKENS) for start in range(0, tokens, _PART_TOKENS)]


def sum_parts(measure: Callable[[slice], tuple[float, ...]], tokens: int) -> list[float]:
    """The sums, over all tokens, of what ``measure`` gives for some of them."""
    found = in_threads(measure, in_parts(tokens)) or [measure(slice(0, 0))]
    return [math.fsum(values) for values in zip(*found, strict=True)]


def flat(values: torch.Tensor) -> npt.NDArray[Any]:
    """A tensor's values end to end; half precision, which NumPy does not know, as single."""
    known = values.float() if values.element_size() == 2 else values
    return known.contiguous().view(-1).numpy()


class TokenClasses:
    """Which of a batch's tokens are planning, which execution.

    Args:
        planning: (B, T) bool.
        own: (B, T) bool, the policy's own tokens; planning tokens are among them.
    """

    def __init__(self, planning: torch.Tensor, own: torch.Tensor) -> None:
        self.own: Bools = flat(own)
        plans: Bools = flat(planning)
        self._planning: list[Ints] = in_threads(lambda part: np.flatnonzero(plans[part]), in_parts(len(plans)))

    def planning_of(self, part: slice) -> Ints:
        """The planning tokens of a part of ``in_parts``, numbered from its first token."""
        return self._planning[part.start // _PART_TOKENS] if self._planning else np.zeros(0, dtype=np.int64)

    def sums(self, values: torch.Tensor) -> dict[str, float]:
        """Sums of float values (B, T) over planning and over execution tokens."""
        numbers = flat(values)

        def measure(part: slice) -> tuple[float, float]:
            here, own = numbers[part], self.own[part]
            plans = self.planning_of(part)
            others = here.copy() if own.all() else np.where(own, here, here.dtype.type(0))
            others[plans] = 0
            planning = float(here.take(plans).sum(dtype=np.float64))
            return planning, float(others.sum(dtype=np.float64))

        return dict(zip(("planning", "execution"), sum_parts(measure, len(numbers)), strict=True))
