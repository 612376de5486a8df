"""One training step: planning mask, shaped advantages, and the sums that the step's metrics are made of."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from hicra_verl.advantage import shape_advantages
from hicra_verl.config import HicraConfig
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import GramMatcher, Ints
from hicra_verl.metrics import entropy_nats
from hicra_verl.metrics.forks import high_entropy_mask


@dataclass
class StepSums:
    """What a step adds up, over one or several batches (verl may take several per reported step)."""

    gram_counts: Ints
    tokens: int = 0
    planning_tokens: int = 0
    changed_tokens: int = 0
    responses: int = 0
    responses_without_planning: int = 0
    seconds: float = 0.0
    base: dict[str, float] = field(default_factory=lambda: {"planning": 0.0, "execution": 0.0})
    shaped: dict[str, float] = field(default_factory=lambda: {"planning": 0.0, "execution": 0.0})

    def metrics(self, step_s: float | None) -> dict[str, float]:
        """The step's metrics under verl's naming; a mean over no token is left out rather than invented.

        Args:
            step_s: seconds the whole step took, None where verl did not time it.
        """
        metrics = {
            "hicra/planning_fraction": self.planning_tokens / max(1, self.tokens),
            "hicra/tokens_changed": float(self.changed_tokens),
            "hicra/semantic_entropy_nats": entropy_nats(self.gram_counts),
            "hicra/responses_without_planning_fraction": self.responses_without_planning / max(1, self.responses),
            "timing_s/hicra": self.seconds,
        }
        counts = {"planning": self.planning_tokens, "execution": self.tokens - self.planning_tokens}
        for kind, count in counts.items():
            if count:
                metrics[f"hicra/advantage_{kind}_base/mean"] = self.base[kind] / count
                metrics[f"hicra/advantage_{kind}_shaped/mean"] = self.shaped[kind] / count
        if step_s:
            metrics["hicra/step_time_fraction"] = self.seconds / step_s
        return metrics


class StepShaper:
    """Shapes the advantages of each batch and remembers what to report.

    Args:
        config: the settings.
        grams: the gram set in force.
        matcher: that set compiled for the policy's tokenizer.
    """

    def __init__(self, config: HicraConfig, grams: GramSet, matcher: GramMatcher) -> None:
        self.config = config
        self.grams = grams
        self.matcher = matcher
        self._sums: StepSums | None = None

    def shape(
        self,
        advantages: torch.Tensor,
        responses: torch.Tensor,
        response_mask: torch.Tensor,
        entropy: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Shape a batch's advantages.

        Args:
            advantages: (B, T) float, the base estimator's.
            responses: (B, T) token ids; whatever stands where the mask is 0 is ignored.
            response_mask: (B, T), non-zero on the policy's own tokens. It must be the mask the loss will use.
            entropy: (B, T) float, needed only where the settings shape high-entropy tokens.

        Returns:
            (B, T): ``shape_advantages`` of the planning tokens found, or of the high-entropy tokens.

        Raises:
            ValueError: if the shapes differ, or ``entropy`` is needed and absent.
        """
        started = time.perf_counter()
        if not advantages.shape == responses.shape == response_mask.shape:
            raise ValueError(
                f"advantages {tuple(advantages.shape)}, responses {tuple(responses.shape)} and response_mask "
                f"{tuple(response_mask.shape)} must have one shape (B, T): one row a rollout, one column a token"
            )
        own = (response_mask != 0).cpu()
        matches = self.matcher.match(responses.cpu().numpy(), own.numpy())
        planning_mask = torch.from_numpy(matches.planning_mask)
        credited = planning_mask
        if self.config.tokens == "high_entropy":
            if entropy is None:
                raise ValueError(
                    "algorithm.hicra.tokens=high_entropy needs the policy's entropy, which only verl's V1 trainer keeps"
                )
            credited = high_entropy_mask(entropy.cpu(), own, self.config.entropy_share)
        shaped = shape_advantages(advantages, credited.to(advantages.device), self.config.alpha)
        self._add(advantages.cpu(), shaped.cpu(), planning_mask, own, matches.gram_counts(len(self.grams)))
        assert self._sums is not None
        self._sums.seconds += time.perf_counter() - started
        return shaped

    def _add(
        self, base: torch.Tensor, shaped: torch.Tensor, planning: torch.Tensor, own: torch.Tensor, gram_counts: Ints
    ) -> None:
        if self._sums is None:
            self._sums = StepSums(gram_counts=np.zeros(len(self.grams), dtype=np.int64))
        sums = self._sums
        sums.gram_counts = sums.gram_counts + gram_counts
        sums.tokens += int(own.sum())
        sums.planning_tokens += int(planning.sum())
        sums.changed_tokens += int((base != shaped).sum())
        answered = own.any(dim=1)  # verl pads a batch with rows that hold no token of the policy
        sums.responses += int(answered.sum())
        sums.responses_without_planning += int((answered & ~planning.any(dim=1)).sum())
        for total, values in ((sums.base, base), (sums.shaped, shaped)):
            on_planning = float(values[planning].sum(dtype=torch.float64))
            total["planning"] += on_planning
            total["execution"] += float((values * own).sum(dtype=torch.float64)) - on_planning

    def take_metrics(self, step_s: float | None) -> dict[str, float]:
        """The metrics of the batches since the last call; empty if there were none."""
        sums, self._sums = self._sums, None
        return {} if sums is None else sums.metrics(step_s)
