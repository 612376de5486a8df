"""The selector and the shaper of a run: applied to a batch, checked, reported, and kept beside its checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hicra_verl.config import HicraConfig
from hicra_verl.extensions import Extension, HicraConfigError
from hicra_verl.rollout import RolloutBatch

STATE_FILE = "hicra_state.pt"
"""What a selector or shaper keeps beside the checkpoint of a step."""


@dataclass
class AdvantageSums:
    """Sums over a step of the advantages before and after shaping, and of the selected tokens."""

    changed_tokens: int = 0
    selected: float = 0.0
    base: dict[str, float] = field(default_factory=lambda: {"planning": 0.0, "execution": 0.0})
    shaped: dict[str, float] = field(default_factory=lambda: {"planning": 0.0, "execution": 0.0})

    def add(self, base: torch.Tensor, shaped: torch.Tensor, mask: torch.Tensor, batch: RolloutBatch) -> None:
        """Add a batch; the advantages and the mask are (B, T)."""
        self.changed_tokens += int((base != shaped).sum())
        self.selected += float(mask.sum())
        for total, values in ((self.base, base), (self.shaped, shaped)):
            on_planning = float(values[batch.planning_mask].sum(dtype=torch.float64))
            total["planning"] += on_planning
            total["execution"] += float((values * batch.response_mask).sum(dtype=torch.float64)) - on_planning

    def metrics(self, counts: dict[str, int]) -> dict[str, float]:
        """Means over planning and over execution tokens, whose numbers are ``counts``."""
        metrics = {"tokens_changed": float(self.changed_tokens)}
        for kind, count in counts.items():
            if count:
                metrics[f"advantage_{kind}_base/mean"] = self.base[kind] / count
                metrics[f"advantage_{kind}_shaped/mean"] = self.shaped[kind] / count
        return metrics


class Shaping:
    """A run's selector and shaper.

    Args:
        config: the settings.

    Raises:
        HicraConfigError: if the selector or the shaper cannot be built.
    """

    def __init__(self, config: HicraConfig) -> None:
        self.selector, self.shaper = config.extensions()
        self._both = {"selector": self.selector, "shaper": self.shaper}
        self._any_selected = config.allow_no_match
        self._sums = AdvantageSums()

    def __call__(self, base: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
        """Shape a batch's advantages, (B, T) on the CPU; they change on the policy's own tokens alone.

        Raises:
            MissingFieldError: if the selector or the shaper needs a field that the trainer does not keep.
            HicraConfigError: if what one of them returns is no mask and no advantages, or nothing is selected in the
                run's first batch.
        """
        for kind, extension in self._both.items():
            for name in extension.needs:
                batch.require(name, f"the {kind} {extension.name}")
        mask = self.selector.call(batch)
        _check_shape("selector", self.selector, mask, batch)
        _check_mask(self.selector, mask, batch)
        mask = mask & batch.response_mask if mask.dtype == torch.bool else mask * batch.response_mask
        self._refuse_no_selection(mask, batch)
        shaped = self.shaper.call(base, mask, batch)
        _check_shape("shaper", self.shaper, shaped, batch)
        shaped = torch.where(batch.response_mask, shaped, base)
        if not math.isfinite(
            float(shaped.sum(dtype=torch.float64))
        ):  # one pass; finite floats do not overflow a double
            raise HicraConfigError(f"the shaper {self.shaper.name} returned infinite values or NaN")
        self._sums.add(base, shaped, mask, batch)
        return shaped

    def _refuse_no_selection(self, mask: torch.Tensor, batch: RolloutBatch) -> None:
        if not self._any_selected and not mask.any() and batch.response_mask.any():
            raise HicraConfigError(
                f"the selector {self.selector.name} selects no token of the first batch",
                remedy="so this would train the base estimator; to go on all the same: "
                "algorithm.hicra.allow_no_match=true",
            )
        self._any_selected = True

    def take_metrics(self, tokens: int, planning_tokens: int) -> dict[str, float]:
        """What has been shaped since the last call, and what selector and shaper report of themselves.

        Args:
            tokens: the policy's own tokens since then.
            planning_tokens: those of them in strategic grams.

        Raises:
            HicraConfigError: if one of them reports what is no number.
        """
        sums, self._sums = self._sums, AdvantageSums()
        found = sums.metrics({"planning": planning_tokens, "execution": tokens - planning_tokens})
        if self.selector.name != "grams":
            found["selected_fraction"] = sums.selected / tokens
        for kind, extension in self._both.items():
            for name, value in getattr(extension.call, "metrics", dict)().items():
                if not math.isfinite(number := float(value)):
                    raise HicraConfigError(f"the {kind} {extension.name} reports {name}={value}, expected a number")
                found[f"{kind}/{name}"] = number
        return found

    def save(self, checkpoint: Path) -> None:
        """Keep the state of selector and shaper in a checkpoint's folder, if they have any."""
        state = {
            kind: {"name": extension.name, "state": extension.call.state_dict()}  # type: ignore[attr-defined]
            for kind, extension in self._both.items()
            if extension.stateful
        }
        if state:
            checkpoint.mkdir(parents=True, exist_ok=True)
            torch.save(state, checkpoint / STATE_FILE)

    def load(self, checkpoint: Path) -> None:
        """Take up the state that ``save`` kept.

        Raises:
            HicraConfigError: if there is none where one is needed, or it is another selector's or shaper's.
        """
        stateful = {kind: extension for kind, extension in self._both.items() if extension.stateful}
        if not stateful:
            return
        path = checkpoint / STATE_FILE
        kept = torch.load(path, weights_only=True) if path.exists() else {}
        for kind, extension in stateful.items():
            found = kept.get(kind, {}).get("name")
            if found != extension.name:
                holds = "no state" if found is None else f"the state of {found}"
                remedy = f"go on with the {kind} the run began with, or begin a new run in another folder"
                raise HicraConfigError(
                    f"holds {holds}, but the {kind} {extension.name} has one", file=path, remedy=remedy
                )
            extension.call.load_state_dict(kept[kind]["state"])  # type: ignore[attr-defined]


def _check_shape(kind: str, extension: Extension, found: object, batch: RolloutBatch) -> None:
    shape = tuple(batch.token_ids.shape)
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != shape:
        got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise HicraConfigError(
            f"the {kind} {extension.name} returned {got}, expected a tensor of shape (B, T) = {shape}"
        )


def _check_mask(extension: Extension, found: torch.Tensor, batch: RolloutBatch) -> None:
    if found.dtype == torch.bool:
        return
    if not found.is_floating_point():
        raise HicraConfigError(
            f"the selector {extension.name} returned {found.dtype}, expected bool, or weights from 0 to 1"
        )
    own = found[batch.response_mask]
    if not bool(((own >= 0) & (own <= 1)).all()):
        raise HicraConfigError(f"the selector {extension.name} returned weights outside 0 to 1, or NaN")
