"""The selector and the shaper of a run: applied to a batch, checked, reported, and kept beside its checkpoints."""

from __future__ import annotations

import io
import math
import pickle
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from hicra_verl.advantage import row_parts
from hicra_verl.config import HicraConfig
from hicra_verl.errors import HicraError
from hicra_verl.files import writing
from hicra_verl.metrics.sums import TokenClasses, flat, sum_parts
from hicra_verl.rollout import RolloutBatch

STATE_FILE = "hicra_state.pt"
"""What a selector or shaper keeps beside the checkpoint of a step."""


class Shaped(NamedTuple):
    """What was made of a batch, as far as it is reported.

    Attributes:
        base: (B, T) the base estimator's advantages.
        advantages: (B, T) the shaped ones.
        mask: (B, T) the selected tokens, or their weights.
    """

    base: torch.Tensor
    advantages: torch.Tensor
    mask: torch.Tensor


@dataclass
class AdvantageSums:
    """Sums over a step of the advantages before and after shaping, and of the selected tokens."""

    changed_tokens: int = 0
    selected: float = 0.0
    base: dict[str, float] = field(default_factory=lambda: {"planning": 0.0, "execution": 0.0})
    shaped: dict[str, float] = field(default_factory=lambda: {"planning": 0.0, "execution": 0.0})

    def add(self, shaped: Shaped, classes: TokenClasses) -> None:
        """Add a batch."""
        before, after, mask = flat(shaped.base), flat(shaped.advantages), flat(shaped.mask)
        changed, selected = sum_parts(
            lambda part: (
                float(np.count_nonzero(before[part] != after[part])),
                float(mask[part].sum(dtype=np.float64)),
            ),
            len(before),
        )
        self.changed_tokens += int(changed)
        self.selected += selected
        for total, values in ((self.base, shaped.base), (self.shaped, shaped.advantages)):
            for kind, value in classes.sums(values).items():
                total[kind] += value

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
        HicraError: if one of them has a state that a checkpoint cannot hold.
    """

    def __init__(self, config: HicraConfig) -> None:
        self.selector, self.shaper = config.extensions()
        self._both = {"selector": self.selector, "shaper": self.shaper}
        self._stateful = {kind: each for kind, each in self._both.items() if each.stateful and not config.measure_only}
        self._any_selected = config.allow_no_match
        self._sums = AdvantageSums()
        self._read(self._written(), "what state_dict() returns")  # rather now than when the run is resumed

    @torch.no_grad()
    def __call__(self, base: torch.Tensor, batch: RolloutBatch) -> Shaped:
        """Shape a batch's advantages, (B, T) on the CPU; they change on the policy's own tokens alone.

        What it returns is to be given to ``add``, which reports it.

        Raises:
            MissingFieldError: if the selector or the shaper needs a field that the trainer does not keep.
            HicraError: if what one of them returns is no mask and no advantages, or nothing is selected in the run's
                first batch.
        """
        for kind, extension in self._both.items():
            for name in extension.needs:
                batch.require(name, f"the {kind} {extension.name}")
        # Copies, so that a guest that works in place spoils neither the comparison below nor verl's returns.
        seen = replace(batch, response_mask=batch.response_mask.clone(), planning_mask=batch.planning_mask.clone())
        mask = batch.checked_mask(self.selector.call(seen), f"the selector {self.selector.name}")
        self._refuse_no_selection(mask, batch)
        half = base.dtype in (torch.float16, torch.bfloat16)
        ours = self.shaper.identity.startswith("hicra_verl.shapers.")  # it gives a new tensor and spoils nothing
        shaped = self.shaper.call(base.float() if half else base if ours else base.clone(), mask, seen)
        batch.check_shape(shaped, f"the shaper {self.shaper.name}")
        advantages = shaped if ours and shaped.dtype == base.dtype else torch.empty_like(base)
        total = 0.0
        for rows in row_parts(base.shape):
            own = torch.where(batch.response_mask[rows], shaped[rows].to(base.dtype), base[rows])
            total += float(own.sum(dtype=torch.float64))
            advantages[rows] = own
        if not math.isfinite(total):  # finite floats do not overflow a double
            raise HicraError(f"the shaper {self.shaper.name} returned infinite values or NaN")
        return Shaped(base, advantages, mask)

    def add(self, shaped: Shaped, classes: TokenClasses) -> None:
        """Count what was made of a batch towards the step's metrics."""
        self._sums.add(shaped, classes)

    def _refuse_no_selection(self, mask: torch.Tensor, batch: RolloutBatch) -> None:
        if not self._any_selected and not mask.any() and batch.response_mask.any():
            raise HicraError(
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
        """
        sums, self._sums = self._sums, AdvantageSums()
        found = sums.metrics({"planning": planning_tokens, "execution": tokens - planning_tokens})
        if self.selector.name != "grams":
            found["selected_fraction"] = sums.selected / tokens
        for kind, extension in self._both.items():
            found.update({f"{kind}/{name}": value for name, value in extension.metrics().items()})
        return found

    def save(self, checkpoint: Path) -> None:
        """Keep the state of selector and shaper in a checkpoint's folder, if they have any."""
        if self._stateful:
            checkpoint.mkdir(parents=True, exist_ok=True)
            with writing(checkpoint / STATE_FILE, binary=True) as stream:
                stream.write(self._written())

    def load(self, checkpoint: Path) -> None:
        """Take up the state that ``save`` kept.

        Raises:
            HicraError: if there is none where one is needed, it is another selector's or shaper's, or not readable.
        """
        path = checkpoint / STATE_FILE
        kept = self._read(path.read_bytes(), path) if self._stateful and path.exists() else {}
        for kind, extension in self._stateful.items():
            found = kept.get(kind, {})
            if found.get("identity") != extension.identity:
                holds = f"the state of {found['identity']}" if found else "no state"
                remedy = f"go on with the {kind} the run began with, or begin a new run in another folder"
                problem = f"holds {holds}, but the {kind} {extension.name} has one"
                raise HicraError(problem, file=path, remedy=remedy)
            if found["arguments"] != dict(extension.arguments):
                was, now = found["arguments"], dict(extension.arguments)
                print(
                    f"[hicra] the {kind} {extension.name} goes on with other arguments: {was} became {now}", flush=True
                )
            extension.call.load_state_dict(found["state"])

    def _written(self) -> bytes:
        state = {
            kind: {"identity": each.identity, "arguments": dict(each.arguments), "state": each.call.state_dict()}
            for kind, each in self._stateful.items()
        }
        stream = io.BytesIO()
        torch.save(state, stream)
        return stream.getvalue()

    @staticmethod
    def _read(data: bytes, where: Path | str) -> dict[str, Any]:
        try:
            kept = torch.load(io.BytesIO(data), weights_only=True)
        except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else "it is cut short"
            raise HicraError(
                f"cannot be read back ({reason})",
                file=where,
                remedy="a state holds numbers, texts and tensors, in lists and dicts",
            ) from error
        return kept if isinstance(kept, dict) else {}
