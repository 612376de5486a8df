"""The settings of HICRA, as they stand under ``algorithm.hicra`` in verl's configuration."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, get_type_hints

from hicra_verl.arguments import Between, Fraction, HicraConfigError, check_argument
from hicra_verl.errors import nearest
from hicra_verl.extensions import SELECTORS, SHAPERS, Extension

ESTIMATOR = "hicra"
"""The value of ``algorithm.adv_estimator`` that turns HICRA on."""

PAPER_ALPHA = 0.2
SELECTOR_OF_TOKENS = {"planning": "grams", "high_entropy": "high_entropy"}
"""What the old setting ``tokens`` is now called."""

OLD_SPELLINGS = {"entropy_share": "entropy_fraction", "tokens": "selector"}
MAY_BE_NULL = ("selector", "selector_args", "shaping_args", *OLD_SPELLINGS)


@dataclass(frozen=True)
class HicraConfig:
    """HICRA's settings.

    Attributes:
        alpha: the fraction of ``|A|`` added on selected tokens, 0 <= alpha < 1: at 1 a planning token of a failed
            response would get no blame at all. Paper: 0.2; 0 gives the base estimator.
        base: the verl estimator that computes the advantage HICRA shapes. Paper: GRPO.
        grams: the strategic grams: the name of a shipped set, or the path of a gram-set file. Paper: its own list.
        selector: whose advantage is shaped; null for the shaper's default, which is mostly ``grams``. Paper: the
            tokens of strategic grams.
        selector_args: the selector's arguments.
        shaping: what happens to their advantage. Paper: ``hicra``.
        shaping_args: the shaper's arguments.
        entropy_fraction: the fraction of tokens that the measures count as high-entropy. Paper: the top 30%.
        measure_only: measure as a HICRA run does, and shape nothing: for baselines under another estimator.
        allow_no_match: go on even if no gram matches anywhere in the first batch.
        traces: responses of each step to keep token by token for `hicra report` (V1 trainer only).
        token_ids: keep every step's token ids beside verl's dump, for `hicra forks` (V1 trainer only).
    """

    alpha: Annotated[float, Between(0, 1, open="high")] = PAPER_ALPHA
    base: str = "grpo"
    grams: str = "paper"
    selector: str | None = None
    selector_args: Mapping[str, Any] = field(default_factory=dict)
    shaping: str = "hicra"
    shaping_args: Mapping[str, Any] = field(default_factory=dict)
    entropy_fraction: Fraction = 0.3
    measure_only: bool = False
    allow_no_match: bool = False
    traces: Annotated[int, Between(0)] = 0
    token_ids: bool = False

    def __post_init__(self) -> None:
        for name, annotation in get_type_hints(HicraConfig, include_extras=True).items():
            check_argument(f"algorithm.hicra.{name}", getattr(self, name), annotation)
        for name in ("base", "grams", "shaping", "selector"):
            if getattr(self, name) == "":
                raise HicraConfigError(f"algorithm.hicra.{name}='': expected a name")
        if self.measure_only and (self.selector or self.selector_args or self.shaping != "hicra" or self.shaping_args):
            raise HicraConfigError(
                "algorithm.hicra.measure_only=true shapes nothing, so selector and shaping would have no effect",
                remedy="leave them out",
            )
        if self.base == ESTIMATOR:
            raise HicraConfigError("algorithm.hicra.base='hicra': HICRA cannot be its own base; try grpo")

    def extensions(self) -> tuple[Extension, Extension]:
        """The selector and the shaper, built with their arguments.

        Raises:
            HicraConfigError: if there is none of that name, its arguments are wrong, or alpha is set and not used.
        """
        shaper = SHAPERS.build(self.shaping, self.shaping_args, alpha=self.alpha)
        if self.alpha != PAPER_ALPHA and "alpha" not in SHAPERS.parameters_of(shaper.target):
            raise HicraConfigError(f"algorithm.hicra.alpha={self.alpha}: the shaping {self.shaping} has no alpha")
        selector = str(self.selector or getattr(shaper.target, "selects", "grams"))
        return SELECTORS.build(selector, self.selector_args), shaper

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
        known = [each.name for each in fields(cls)]
        given = _in_new_words({str(key): value for key, value in settings.items()})
        for key in given:
            if key not in known:
                raise HicraConfigError(f"algorithm.hicra.{key}: no such setting; {nearest(key, known)}")
        return cls(**given)


def _in_new_words(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings without old spellings, and without what may be null and is."""
    found = {key: value for key, value in settings.items() if value is not None or key not in MAY_BE_NULL}
    for old, new in OLD_SPELLINGS.items():
        if old not in found:
            continue
        value, here = found.pop(old), f"algorithm.hicra.{new}"
        warnings.warn(f"algorithm.hicra.{old} is now {here}; the old name still works", FutureWarning, stacklevel=4)
        if old == "tokens":
            if not isinstance(value, str) or value not in SELECTOR_OF_TOKENS:
                known = nearest(str(value), list(SELECTOR_OF_TOKENS))
                raise HicraConfigError(f"algorithm.hicra.tokens={value!r}: {known}")
            if value == "high_entropy":  # whose fraction was that of the measures
                found.setdefault("selector_args", {"fraction": found.get("entropy_fraction", 0.3)})
            value = SELECTOR_OF_TOKENS[value]
        usual = HicraConfig.__dataclass_fields__[new].default  # what `+hicra=default` puts there
        if found.get(new, usual) not in (usual, value):
            raise HicraConfigError(f"algorithm.hicra.{old} and {here} say different things", remedy=f"leave out {old}")
        found[new] = value
    return found
