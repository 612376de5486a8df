"""One training step: planning mask, selected tokens, shaped advantages, and what the step reports.

The trainer waits for the advantages alone. What only reports runs in a thread while the actor is updated, until the
metrics are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch

from hicra_verl.config import HicraConfig
from hicra_verl.extensions import HicraConfigError
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.matcher import GramMatcher, Matches
from hicra_verl.metrics.step import FOLLOWING_WORDS, Filtering, StepMetrics, initial_values
from hicra_verl.metrics.sums import TokenClasses
from hicra_verl.rollout import RolloutBatch
from hicra_verl.training.initial import InitialValues
from hicra_verl.training.shaping import Shaped, Shaping
from hicra_verl.training.token_ids import TokenIdWriter
from hicra_verl.training.traces import TokenTexts, TraceWriter


class StepShaper:
    """Shapes the advantages of each batch, measures it, and remembers what to report.

    Args:
        config: the settings; with ``measure_only`` nothing is shaped.
        grams: the gram set in force.
        matcher: that set compiled for the policy's tokenizer.
        folder: the run's checkpoint folder, where the values of its first step are kept; None to keep none.
        resumed: True if the run goes on from a checkpoint.
        token_texts: the texts of token ids, needed where the settings ask for traces.
        filtering: see ``StepMetrics``.

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
        filtering: Filtering = "none",
    ) -> None:
        self.config = config
        self.grams = grams
        self.filtering: Filtering = filtering
        self.matcher = matcher
        self.shaping = Shaping(config)
        self._initial = InitialValues(folder, grams.sha256, resumed)
        self.traces: TraceWriter | None = None
        if config.traces and folder is not None and token_texts is not None:
            self.traces = TraceWriter(folder, config.traces, token_texts, grams)
        self.token_ids = TokenIdWriter(folder) if config.token_ids and folder is not None else None
        uses_grams = config.measure_only or "planning_mask" in self.shaping.selector.needs
        self._any_match = config.allow_no_match or not uses_grams
        self._start_step()

    def _start_step(self) -> None:
        self._metrics = StepMetrics(self.grams, self.config.entropy_fraction, self.filtering)
        self._seconds = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hicra-report")  # one: batches are added in their order
        self._reports: list[Future[None]] = []

    def shape(
        self, advantages: torch.Tensor, token_ids: torch.Tensor, response_mask: torch.Tensor, **known: object
    ) -> torch.Tensor:
        """Shape a batch's advantages, and begin to measure it.

        The tensors are read until ``take_metrics`` returns: whoever goes on with them must not change them in place.

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
                would train the base estimator under HICRA's name; or see ``Shaping``.
        """
        started = time.perf_counter()
        if not advantages.shape == token_ids.shape == response_mask.shape:
            raise ValueError(
                f"advantages {tuple(advantages.shape)}, token_ids {tuple(token_ids.shape)} and response_mask "
                f"{tuple(response_mask.shape)} must have one shape (B, T): one row a rollout, one column a token"
            )
        own = (response_mask != 0).cpu()
        matches = self.matcher.match(token_ids.cpu().numpy(), own.numpy())
        planning_mask = torch.from_numpy(matches.planning_mask)
        batch = RolloutBatch(token_ids.cpu(), own, planning_mask, token_bytes=self.matcher.token_bytes, **known)  # type: ignore[arg-type]
        self._refuse_no_match(batch)
        shaped = None if self.config.measure_only else self.shaping(advantages.cpu(), batch)
        received = advantages if shaped is None else shaped.advantages.to(advantages.device)
        self._reports.append(self._thread.submit(self._report, batch, matches, shaped, advantages, received))
        self._seconds += time.perf_counter() - started
        return received

    def _report(
        self,
        batch: RolloutBatch,
        matches: Matches,
        shaped: Shaped | None,
        base: torch.Tensor,
        received: torch.Tensor,
    ) -> None:
        ids, own = batch.token_ids.numpy(), batch.response_mask.numpy()
        matches = self.matcher.with_following(ids, own, matches, FOLLOWING_WORDS)
        classes = TokenClasses(batch.planning_mask, batch.response_mask)
        self._metrics.add(batch, matches, classes)
        if shaped is not None:
            self.shaping.add(shaped, classes)
        if self.traces is not None:
            self.traces.add(batch, matches, base, received)

    def _wait(self) -> None:
        """Until all batches are measured; raises what measuring raised."""
        reports, self._reports = self._reports, []
        for report in reports:
            report.result()

    def write(self, step: int) -> None:
        """Write what is kept of the responses as this step's: traces and token ids, where the settings ask for them."""
        self._wait()
        for writer in (self.traces, self.token_ids):
            if writer is not None:
                writer.write(step)

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

    def note_dropped(self, groups: Sequence[str], sessions: Sequence[str], scores: Sequence[float]) -> None:
        """Note the scores of responses that were sampled, and are kept from the step's batches."""
        for group, session, score in zip(groups, sessions, scores, strict=True):
            self._metrics.dropped[group][session] = score

    def take_metrics(self, step_s: float | None) -> dict[str, float]:
        """The metrics of the batches since the last call, under verl's naming; empty if there were none.

        Args:
            step_s: seconds the whole step took, None where verl did not time it.

        Raises:
            Exception: what measuring raised.
        """
        started = time.perf_counter()
        self._wait()
        measures, seconds = self._metrics, self._seconds
        if measures.tokens == 0:
            return {}
        metrics = measures.metrics(self._initial.values)
        if self._initial.missing:
            self._initial.keep(initial_values(metrics))
            metrics = measures.metrics(self._initial.values)
        if not self.config.measure_only:
            metrics.update(self.shaping.take_metrics(measures.tokens, measures.planning_tokens))
        self._thread.shutdown()
        self._start_step()
        seconds += time.perf_counter() - started
        reported = {f"hicra/{name}": value for name, value in metrics.items()}
        reported["timing_s/hicra"] = seconds
        if step_s:
            reported["hicra/step_time_fraction"] = seconds / step_s
        return reported
