"""What a person's review makes of a set of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hicra_verl.grams.gramset import FUNCTIONS, GramSet, save_grams
from hicra_verl.grams.operations import with_grams
from hicra_verl.mining.judging import Choice, Judgements, JudgingError, Phrase
from hicra_verl.mining.local_page import Sitting

REJECT = "reject"
VALUES = (*FUNCTIONS, REJECT)
QUESTION = (
    "As it is used here, does the phrase steer the reasoning? If so, how: it concludes (deduction), chooses or opens "
    "an approach (branching), doubts or goes back (backtracing), or steers otherwise (other). If not, reject it."
)


def sitting(grams: GramSet, phrases: Sequence[Phrase], judgements: Judgements) -> Sitting:
    """What a person sees: the candidates, and a key for each function."""
    choices = [Choice(str(number), name, name) for number, name in enumerate(FUNCTIONS, 1)]
    choices.append(Choice("r", REJECT, "reject"))
    return Sitting(f"Review of {grams.name}", QUESTION, phrases, choices, judgements)


def reviewed_set(grams: GramSet, judged: dict[str, str], name: str, reviewer: str) -> tuple[GramSet, int]:
    """The grams accepted, with the function they were accepted as, and how many are not judged yet.

    Args:
        grams: the candidates.
        judged: by a gram's text, its function or ``reject``.
        name: the new set's.
        reviewer: who judged.
    """
    listed = [(gram, judged.get(gram.text)) for gram in grams]
    kept = [replace(gram, function=value) for gram, value in listed if value is not None and value != REJECT]
    left = sum(value is None for _, value in listed)
    description = f"{len(kept)} of the {len(grams)} grams of {grams.name}, accepted and labelled by {reviewer}"
    counts = {"by": reviewer, "candidates": len(grams), "judged": len(grams) - left, "accepted": len(kept)}
    return with_grams(grams, kept, name, description, reviewed=counts), left


def save_accepted(made: GramSet, output: Path) -> None:
    """Write a set of accepted grams.

    Raises:
        JudgingError: if it is empty: no training can use it.
    """
    if not len(made):
        raise JudgingError("nothing is accepted, so the set is not written; the judgements are kept", file=output)
    save_grams(made, output)
