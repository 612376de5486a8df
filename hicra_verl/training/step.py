"""One training step: planning mask, selected tokens, shaped advantages, and what the step reports."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hicra_verl.config import HicraConfig
from hicra_verl.extensions import HicraConfigError
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.metrics.step import FOLLOWING_WORDS, StepMetrics, initial_values
from hicra_verl.rollout import RolloutBatch
from hicra_verl.training.initial import InitialValues
from hicra_verl.training.traces import TokenTexts, TraceWriter

STATE_FILE = "hicra_state.pt"
"""What a selector or shaper keeps beside the checkpoint of a step."""


@dataclass
class AdvantageSums:
    """Sums of the advantages before and after shaping."""

    changed_tokens: int = 0
    base: dict[str, float] = field(default_factory=lambda: {"planning": 0.0, "execution": 0.0})
    shaped: dict[str, float] = field(default_factory=lambda: {"planning": 0.0, "execution": 0.0})

    def add(self, base: torch.Tensor, shaped: torch.Tensor, batch: RolloutBatch) -> None:
        """Add a batch; the advantages are (B, T)."""
        self.changed_tokens += int((base != shaped).sum())
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


class StepShaper:
    """Shapes the advantages of each batch, measures it, and remembers what to report.

    Args:
        config: the settings; with ``measure_only`` nothing is shaped.
        grams: the gram set in force.
        matcher: that set compiled for the policy's tokenizer.
        folder: the run's checkpoint folder, where the values of its first step are kept; None to keep none.
        resumed: True if the run goes on from a checkpoint.
        token_texts: the texts of token ids, needed where the settings ask for traces.

    Raises:
        HicraConfigError: if the selector or the shaper cannot be built.
    """

    def __init__(
        self,
        config: HicraConfig,
        grams: GramSet,
        matcher: GramMatcher,
        folder: Path | None = None,
        resumed: bool = False,
        token_texts: TokenTexts | None = None,
    ) -> None:
        self.config = config
        self.grams = grams
        self.matcher = matcher
        self.selector, self.shaper = config.extensions()
        self._initial = InitialValues(folder, grams.sha256, resumed)
        self.traces: TraceWriter | None = None
        if config.traces and folder is not None and token_texts is not None:
            self.traces = TraceWriter(folder, config.traces, token_texts, grams)
        self._any_match = config.allow_no_match or self.selector.name != "grams"
        self._start_step()

    def _start_step(self) -> None:
        self._metrics = StepMetrics(self.grams, self.config.entropy_fraction)
        self._advantages = AdvantageSums()
        self._selected = 0.0
        self._seconds = 0.0

    def shape(
        self, advantages: torch.Tensor, token_ids: torch.Tensor, response_mask: torch.Tensor, **known: object
    ) -> torch.Tensor:
        """Measure a batch and shape its advantages.

        Args:
            advantages: (B, T) float, the base estimator's.
            token_ids: (B, T); whatever stands where the mask is 0 is ignored.
            response_mask: (B, T), non-zero on the policy's own tokens. It must be the mask the loss will use.
            known: further fields of ``RolloutBatch``, as far as the trainer keeps them.

        Returns:
            (B, T): what the shaper makes of them; the advantages themselves if the settings say to measure only.

        Raises:
            ValueError: if the shapes differ.
            MissingFieldError: if the selector or the shaper needs a field that the trainer does not keep.
            HicraConfigError: if no gram matches anywhere in the run's first batch: a set for another language or domain
                would train the base estimator under HICRA's name; or if what the selector or the shaper returns is no
                mask and no advantages.
        """
        started = time.perf_counter()
        if not advantages.shape == token_ids.shape == response_mask.shape:
            raise ValueError(
                f"advantages {tuple(advantages.shape)}, token_ids {tuple(token_ids.shape)} and response_mask "
                f"{tuple(response_mask.shape)} must have one shape (B, T): one row a rollout, one column a token"
            )
        own = (response_mask != 0).cpu()
        matches = self.matcher.match(token_ids.cpu().numpy(), own.numpy(), FOLLOWING_WORDS)
        planning_mask = torch.from_numpy(matches.planning_mask)
        batch = RolloutBatch(token_ids.cpu(), own, planning_mask, token_bytes=self.matcher.token_bytes, **known)  # type: ignore[arg-type]
        self._refuse_no_match(batch)
        self._metrics.add(batch, matches)
        shaped = advantages
        if not self.config.measure_only:
            shaped = self._shape(advantages.cpu(), batch).to(advantages.device)
        if self.traces is not None:
            self.traces.add(batch, matches, shaped)
        self._seconds += time.perf_counter() - started
        return shaped

    def _refuse_no_match(self, batch: RolloutBatch) -> None:
        own = batch.response_mask
        if not self._any_match and own.any() and not batch.planning_mask.any():
            raise HicraConfigError(
                f"the gram set {self.grams.name} (sha256 {self.grams.sha256[:12]}) matches nothing in the first batch: "
                f"{int(own.sum()):,} tokens in {int(own.any(dim=1).sum()):,} responses. Is it a set for this language "
                "and domain? `hicra grams stats` shows what it matches in saved rollouts; `hicra mine` makes another "
                "one. To go on all the same (a model that cannot write yet): algorithm.hicra.allow_no_match=true"
            )
        self._any_match = True

    def _shape(self, base: torch.Tensor, batch: RolloutBatch) -> torch.Tensor:
        for extension, kind in ((self.selector, "selector"), (self.shaper, "shaper")):
            for name in extension.needs:
                batch.require(name, f"the {kind} {extension.name}")
        mask = self.selector.call(batch)
        self._check("selector", self.selector.name, mask, batch)
        mask = mask & batch.response_mask if mask.dtype == torch.bool else mask * batch.response_mask
        shaped = self.shaper.call(base, mask, batch)
        self._check("shaper", self.shaper.name, shaped, batch)
        shaped = torch.where(batch.response_mask, shaped, base)
        self._selected += float(mask.sum())
        self._advantages.add(base, shaped, batch)
        return shaped

    @staticmethod
    def _check(kind: str, name: str, found: object, batch: RolloutBatch) -> None:
        shape = tuple(batch.token_ids.shape)
        if not isinstance(found, torch.Tensor) or tuple(found.shape) != shape:
            got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise HicraConfigError(f"the {kind} {name} returned {got}, expected a tensor of shape (B, T) = {shape}")
        if found.dtype != torch.bool and not bool(torch.isfinite(found[batch.response_mask]).all()):
            raise HicraConfigError(f"the {kind} {name} returned infinite values or NaN")
        if kind == "selector" and found.is_floating_point() and not bool(((found >= 0) & (found <= 1)).all()):
            raise HicraConfigError(f"the selector {name} returned weights outside 0 to 1")
        if kind == "selector" and found.dtype != torch.bool and not found.is_floating_point():
            raise HicraConfigError(f"the selector {name} returned {found.dtype}, expected bool, or weights from 0 to 1")

    def take_metrics(self, step_s: float | None) -> dict[str, float]:
        """The metrics of the batches since the last call, under verl's naming; empty if there were none.

        Args:
            step_s: seconds the whole step took, None where verl did not time it.
        """
        measures, advantages, selected, seconds = self._metrics, self._advantages, self._selected, self._seconds
        if measures.tokens == 0:
            return {}
        started = time.perf_counter()
        metrics = measures.metrics(self._initial.values)
        if self._initial.missing:
            self._initial.keep(initial_values(metrics))
            metrics = measures.metrics(self._initial.values)
        if not self.config.measure_only:
            counts = {"planning": measures.planning_tokens, "execution": measures.tokens - measures.planning_tokens}
            metrics.update(advantages.metrics(counts))
            if self.selector.name != "grams":
                metrics["selected_fraction"] = selected / measures.tokens
            metrics.update(self._reported())
        self._start_step()
        seconds += time.perf_counter() - started
        reported = {f"hicra/{name}": value for name, value in metrics.items()}
        reported["timing_s/hicra"] = seconds
        if step_s:
            reported["hicra/step_time_fraction"] = seconds / step_s
        return reported

    def _reported(self) -> dict[str, float]:
        """What selector and shaper report of themselves: ``metrics()`` returns numbers by name."""
        found = {}
        for extension, kind in ((self.selector, "selector"), (self.shaper, "shaper")):
            report = getattr(extension.call, "metrics", None)
            for name, value in ({} if report is None else report()).items():
                if not math.isfinite(number := float(value)):
                    raise HicraConfigError(f"the {kind} {extension.name} reports {name}={value}, expected a number")
                found[f"{kind}/{name}"] = number
        return found

    def save_state(self, checkpoint: Path) -> None:
        """Keep the state of selector and shaper in a checkpoint's folder, if they have any."""
        state = {
            kind: {"name": extension.name, "state": extension.call.state_dict()}  # type: ignore[attr-defined]
            for kind, extension in (("selector", self.selector), ("shaper", self.shaper))
            if extension.stateful
        }
        if state:
            checkpoint.mkdir(parents=True, exist_ok=True)
            torch.save(state, checkpoint / STATE_FILE)

    def load_state(self, checkpoint: Path) -> None:
        """Take up the state that ``save_state`` kept.

        Raises:
            HicraConfigError: if there is none where one is needed, or it is another selector's or shaper's.
        """
        wanted = {"selector": self.selector, "shaper": self.shaper}
        stateful = {kind: extension for kind, extension in wanted.items() if extension.stateful}
        path = checkpoint / STATE_FILE
        if not stateful:
            return
        kept = torch.load(path, weights_only=True) if path.exists() else {}
        for kind, extension in stateful.items():
            found = kept.get(kind, {}).get("name")
            if found != extension.name:
                raise HicraConfigError(
                    f"holds {'no state' if found is None else f'the state of {found}'}, but the {kind} "
                    f"{extension.name} has one",
                    file=path,
                    remedy=f"go on with the {kind} the run began with, or begin a new run in another folder",
                )
            extension.call.load_state_dict(kept[kind]["state"])  # type: ignore[attr-defined]
