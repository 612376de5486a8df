"""HICRA (Hierarchy-Aware Credit Assignment) for verl.

Importing this package is light: neither torch nor verl nor transformers. The public names below are imported from their
modules when they are first used. The modules, in the order data flows:

``mining``      gram sets out of a corpus, judged by models and people
``grams``       strategic grams, and the matcher that finds them in token ids and texts
``selectors``   which tokens a run favours, ``shapers`` what happens to their advantage; ``extensions`` finds both
``advantage``   the formula
``metrics``     what is measured on planning and execution tokens
``training``    what happens at a training step
``verl_formats``   how verl lays out its files, ``verl_patches`` every touch of its code
``grading``     right or wrong; ``reward`` makes it verl's
``data``        training and benchmark data in verl's format
``evaluation``  the paper's protocol and tables
``analysis``    a finished run's figures, its page, the causes of its failures
``cpu``         verl on a machine without a GPU
"""

import importlib
from typing import TYPE_CHECKING, Any

from hicra_verl.version import __version__ as __version__

if TYPE_CHECKING:
    from hicra_verl.advantage import shape_advantages as shape_advantages
    from hicra_verl.config import HicraConfig as HicraConfig
    from hicra_verl.errors import HicraError as HicraError
    from hicra_verl.extensions import SELECTORS as SELECTORS
    from hicra_verl.extensions import SHAPERS as SHAPERS
    from hicra_verl.extensions import Between as Between
    from hicra_verl.extensions import Fraction as Fraction
    from hicra_verl.extensions import HicraConfigError as HicraConfigError
    from hicra_verl.extensions import needs as needs
    from hicra_verl.extensions import selects as selects
    from hicra_verl.grams.gramset import Gram as Gram
    from hicra_verl.grams.gramset import GramSet as GramSet
    from hicra_verl.grams.gramset import load_grams as load_grams
    from hicra_verl.grams.gramset import save_grams as save_grams
    from hicra_verl.grams.matcher import GramMatcher as GramMatcher
    from hicra_verl.grams.token_bytes import token_bytes as token_bytes
    from hicra_verl.metrics.entropy import entropy_nats as entropy_nats
    from hicra_verl.metrics.pass_at_k import pass_at_k as pass_at_k
    from hicra_verl.reward import compute_score as compute_score
    from hicra_verl.rollout import RolloutBatch as RolloutBatch
    from hicra_verl.training.step import StepShaper as StepShaper

_NAMES_OF_MODULES = {
    "advantage": ("shape_advantages",),
    "config": ("HicraConfig",),
    "errors": ("HicraError",),
    "extensions": ("SELECTORS", "SHAPERS", "Between", "Fraction", "HicraConfigError", "needs", "selects"),
    "grams.gramset": ("Gram", "GramSet", "load_grams", "save_grams"),
    "grams.matcher": ("GramMatcher",),
    "grams.token_bytes": ("token_bytes",),
    "metrics.entropy": ("entropy_nats",),
    "metrics.pass_at_k": ("pass_at_k",),
    "reward": ("compute_score",),
    "rollout": ("RolloutBatch",),
    "training.step": ("StepShaper",),
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULES.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF_NAME)]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF_NAME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
