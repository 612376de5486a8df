"""What an evaluation's samples say."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hicra_verl.endpoint import REFUSED
from hicra_verl.evaluation.comparison import bootstrap_interval
from hicra_verl.evaluation.results import SUMMARY_FILE
from hicra_verl.evaluation.run import Sample, by_problem
from hicra_verl.files import write_text
from hicra_verl.grading.grade import REASONS
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.entropy import entropy_nats
from hicra_verl.metrics.pass_at_k import pass_at_k
from hicra_verl.records import InputError, read_json
from hicra_verl.tables import Table

UNTOLD = ("unparsed", "timed_out", "failed")
"""Grades that say something about the grader as well."""


def summarise(samples: Sequence[Sample], grams: GramSet) -> dict[str, Any]:
    """One benchmark's figures.

    Args:
        samples: all of its samples.
        grams: the gram set for semantic entropy.

    Returns:
        ``problems``, ``samples``, ``pass@1`` with ``pass@1_interval``, ``pass@K`` for every power of two up to the
        samples a problem has (all 0 to 1), ``clip_rate`` (share of responses cut off), ``length_tokens`` (mean),
        ``semantic_entropy_nats`` (over all responses), ``grades``: how many responses were graded how,
        ``finish_reasons``: how many ended how, and ``per_problem``: problem to [samples, correct samples].
        Refused requests are wrong samples without a response; where there are any, ``refusal`` says what the first
        was refused for; where responses hold no text, ``without_text`` says how many.
    """
    right = dict(sorted(by_problem(samples).items()))
    fewest = min(total for total, _ in right.values())
    figures: dict[str, Any] = {"problems": len(right), "samples": len(samples)}
    for k in (2**power for power in range(fewest.bit_length())):
        per_problem = [pass_at_k(total, correct, k) for total, correct in right.values()]
        figures[f"pass@{k}"] = float(np.mean(per_problem))
        if k == 1:
            figures["pass@1_interval"] = bootstrap_interval(per_problem)
    responses = [sample for sample in samples if sample.finish_reason != REFUSED]
    figures["clip_rate"] = float(np.mean([sample.finish_reason == "length" for sample in responses]))
    figures["length_tokens"] = float(np.mean([sample.tokens for sample in responses]))
    figures["semantic_entropy_nats"] = entropy_nats(
        TextMatcher(grams).gram_counts([sample.response for sample in responses])
    )
    figures["grades"] = _counts([sample.grade for sample in samples], (*REASONS, REFUSED))
    reasons = [sample.finish_reason for sample in samples]
    figures["finish_reasons"] = _counts(reasons, sorted(set(reasons)))
    refusals = [sample.refusal for sample in samples if sample.finish_reason == REFUSED]
    if refusals:
        figures["refusal"] = refusals[0]
    without_text = sum(not sample.response.strip() for sample in responses)
    if without_text:
        figures["without_text"] = without_text
    figures["per_problem"] = right
    return figures


def _counts(values: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    return {name: values.count(name) for name in names if name in values}


def write_summary(folder: Path, grams: str, figures: dict[str, dict[str, Any]]) -> list[str]:
    """Write benchmarks' figures to ``SUMMARY_FILE``, beside those of benchmarks evaluated there before.

    Everything in it follows from the samples, so one that cannot be read is replaced; the notes returned say so.
    """
    path, notes, earlier = folder / SUMMARY_FILE, [], {}
    if path.exists():
        try:
            earlier = {**read_json(path, "")["benchmarks"]}
        except (InputError, KeyError, TypeError):
            notes.append(
                f"{path} could not be read and is made anew. What it held of further benchmarks is in it again once "
                "their command is run again; their samples are kept."
            )
    text = json.dumps({"grams": grams, "benchmarks": {**earlier, **figures}}, indent=1)
    text = re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", text)  # a problem a line
    write_text(path, text + "\n")
    return notes


def as_table(figures: dict[str, dict[str, Any]], notes: Sequence[str] = ()) -> Table:
    """The figures as they are printed, with notes on what the grader or the engine could not do."""
    rows = []
    for name, found in figures.items():
        low, high = found["pass@1_interval"]
        best = max(int(key.split("@")[1]) for key in found if key.startswith("pass@") and key[5:].isdigit())
        rows.append(
            (
                name,
                str(found["problems"]),
                str(found["samples"]),
                f"{100 * found['pass@1']:.1f}",
                f"{100 * low:.1f}-{100 * high:.1f}",
                f"pass@{best}: {100 * found[f'pass@{best}']:.1f}",
                f"{found['clip_rate']:.1%}",
                f"{found['length_tokens']:.0f}",
                f"{found['semantic_entropy_nats']:.2f}",
            )
        )
    said = [note for name, found in figures.items() for note in _notes(name, found)]
    columns = ("benchmark", "problems", "samples", "pass@1 %", "95% interval", "best pass@k", "cut off", "tokens")
    return Table("evaluation", (*columns, "sem. entropy (nats)"), rows, (*said, *notes))


def _notes(name: str, found: dict[str, Any]) -> list[str]:
    def listed(counts: dict[str, int]) -> str:
        return ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in counts.items())

    notes, ends = [], found["finish_reasons"]
    untold = {reason: count for reason, count in found["grades"].items() if reason in UNTOLD}
    if untold:
        notes.append(f"{name}: counted as wrong because the grader could not tell: {listed(untold)}")
    if "refusal" in found:
        notes.append(
            f"{name}: counted as wrong because the engine refused the request: {ends[REFUSED]} of {found['samples']} "
            f"samples (the first: {found['refusal']}); the same command asks for them again"
        )
    if "without_text" in found:
        notes.append(
            f"{name}: {found['without_text']} answers without text, counted as wrong: did a reasoning model's server "
            "keep the text to itself, or --max-tokens end its reasoning?"
        )
    rest = {reason: count for reason, count in ends.items() if reason not in ("stop", "length", REFUSED)}
    if rest:
        notes.append(f"{name}: responses that ended neither by themselves nor at --max-tokens: {listed(rest)}")
    return notes
