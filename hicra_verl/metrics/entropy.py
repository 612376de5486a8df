"""Entropy of a distribution given by counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def entropy_nats(counts: npt.ArrayLike) -> float:
    """Shannon entropy, in nats, of the frequency distribution that ``counts`` gives; 0.0 if all counts are zero.

    The paper's semantic entropy is this entropy of the frequencies of strategic grams; it names neither the base of
    the logarithm nor the window. Ours: natural logarithm, over all responses of a training step.
    """
    values = np.asarray(counts, dtype=np.float64)
    values = values[values > 0]
    if len(values) == 0:
        return 0.0
    share = values / values.sum()
    return float(-(share * np.log(share)).sum()) + 0.0  # no negative zero
