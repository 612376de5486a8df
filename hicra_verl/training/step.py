"""One training step: planning mask, shaped advantages, and what the step reports."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hicra_verl.advantage import shape_advantages
from hicra_verl.config import HicraConfig, HicraConfigError
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import GramMatcher, Matches
from hicra_verl.metrics.forks import high_entropy_mask
from hicra_verl.training.initial import InitialValues
from hicra_verl.training.measures import FOLLOWING_WORDS, Facts, Measures, initial_values
from hicra_verl.training.traces import TokenTexts, TraceKeeper

NO_FACTS = Facts()


@dataclass
class AdvantageSums:
    """Sums of the advantages before and after shaping."""

    changed_tokens: int = 0
    base: dict[str, float] = field(default_factory=lambda: {"planning": 0.0, "execution": 0.0})
    shaped: dict[str, float] = field(default_factory=lambda: {"planning": 0.0, "execution": 0.0})

    def add(self, base: torch.Tensor, shaped: torch.Tensor, planning: torch.Tensor, own: torch.Tensor) -> None:
        """Add a batch, all of shape (B, T)."""
        self.changed_tokens += int((base != shaped).sum())
        for total, values in ((self.base, base), (self.shaped, shaped)):
            on_planning = float(values[planning].sum(dtype=torch.float64))
            total["planning"] += on_planning
            total["execution"] += float((values * own).sum(dtype=torch.float64)) - on_planning

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
        self._initial = InitialValues(folder, grams.sha256, resumed)
        self.traces: TraceKeeper | None = None
        if config.traces and folder is not None and token_texts is not None:
            self.traces = TraceKeeper(folder, config.traces, token_texts, grams)
        self._any_match = config.allow_no_match or config.tokens != "planning"
        self._start_step()

    def _start_step(self) -> None:
        self._measures = Measures(self.grams, self.config.entropy_share)
        self._advantages = AdvantageSums()
        self._seconds = 0.0

    def shape(
        self,
        advantages: torch.Tensor,
        responses: torch.Tensor,
        response_mask: torch.Tensor,
        facts: Facts = NO_FACTS,
    ) -> torch.Tensor:
        """Measure a batch and shape its advantages.

        Args:
            advantages: (B, T) float, the base estimator's.
            responses: (B, T) token ids; whatever stands where the mask is 0 is ignored.
            response_mask: (B, T), non-zero on the policy's own tokens. It must be the mask the loss will use.
            facts: what else the trainer knows of the batch, for the measurements and for ``tokens=high_entropy``.

        Returns:
            (B, T): ``shape_advantages`` of the planning tokens found, or of the high-entropy tokens; the advantages
            themselves if the settings say to measure only.

        Raises:
            ValueError: if the shapes differ, or the entropy is needed and absent.
            HicraConfigError: if no gram matches anywhere in the run's first batch: a set for another language or domain
                would train the base estimator under HICRA's name.
        """
        started = time.perf_counter()
        if not advantages.shape == responses.shape == response_mask.shape:
            raise ValueError(
                f"advantages {tuple(advantages.shape)}, responses {tuple(responses.shape)} and response_mask "
                f"{tuple(response_mask.shape)} must have one shape (B, T): one row a rollout, one column a token"
            )
        own = (response_mask != 0).cpu()
        matches = self.matcher.match(responses.cpu().numpy(), own.numpy(), FOLLOWING_WORDS)
        self._refuse_no_match(matches, own)
        self._measures.add(matches, own, facts)
        shaped = advantages
        if not self.config.measure_only:
            planning = torch.from_numpy(matches.planning_mask)
            credited = self._high_entropy(facts, own) if self.config.tokens == "high_entropy" else planning
            shaped = shape_advantages(advantages, credited.to(advantages.device), self.config.alpha)
            self._advantages.add(advantages.cpu(), shaped.cpu(), planning, own)
        if self.traces is not None:
            self.traces.add(responses, own, matches, shaped, facts)
        self._seconds += time.perf_counter() - started
        return shaped

    def _refuse_no_match(self, matches: Matches, own: torch.Tensor) -> None:
        if not self._any_match and own.any() and not matches.planning_mask.any():
            raise HicraConfigError(
                f"the gram set {self.grams.name} (sha256 {self.grams.sha256[:12]}) matches nothing in the first batch: "
                f"{int(own.sum()):,} tokens in {int(own.any(dim=1).sum()):,} responses. Is it a set for this language "
                "and domain? `hicra grams stats` shows what it matches in saved rollouts; `hicra mine` makes another "
                "one. To go on all the same (a model that cannot write yet): algorithm.hicra.allow_no_match=true"
            )
        self._any_match = True

    def _high_entropy(self, facts: Facts, own: torch.Tensor) -> torch.Tensor:
        if facts.entropy is None:
            raise ValueError(
                "algorithm.hicra.tokens=high_entropy needs the policy's entropy, which only verl's V1 trainer keeps"
            )
        return high_entropy_mask(facts.entropy, own, self.config.entropy_share)

    def take_metrics(self, step_s: float | None) -> dict[str, float]:
        """The metrics of the batches since the last call, under verl's naming; empty if there were none.

        Args:
            step_s: seconds the whole step took, None where verl did not time it.
        """
        measures, advantages, seconds = self._measures, self._advantages, self._seconds
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
        self._start_step()
        seconds += time.perf_counter() - started
        reported = {f"hicra/{name}": value for name, value in metrics.items()}
        reported["timing_s/hicra"] = seconds
        if step_s:
            reported["hicra/step_time_fraction"] = seconds / step_s
        return reported
