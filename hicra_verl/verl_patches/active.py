"""What is in force in this process: the shaper of the run's advantages, once the run has been checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hicra_verl.verl_patches.patches import NEED_CRITIC

if TYPE_CHECKING:
    from hicra_verl.training.step import StepShaper

shaper: StepShaper | None = None
prepared: tuple[Any, ...] = ()
"""What it was prepared for: settings, grams and the run's folder."""
base_computes = False
reported: dict[str, float] = {}
"""HICRA's metrics of the step in hand, where they were taken before verl asks for them (see staged.py)."""


def shaper_in_force() -> StepShaper:
    """The shaper.

    Raises:
        RuntimeError: if this process was not prepared.
    """
    if shaper is None:
        raise RuntimeError(
            "HICRA was not prepared in the process that computes advantages: this trainer does not call "
            f"{NEED_CRITIC.module}.{NEED_CRITIC.name} first. Run `hicra doctor`."
        )
    return shaper


def measuring() -> bool:
    """Whether another estimator's run is measured in this process."""
    return shaper is not None and shaper.config.measure_only


@contextmanager
def base_in_place(algorithm: Any, base: str) -> Iterator[None]:
    """While verl computes, its configuration names the base estimator."""
    global base_computes
    named, algorithm.adv_estimator, base_computes = algorithm.adv_estimator, base, True
    try:
        yield
    finally:
        algorithm.adv_estimator, base_computes = named, False
