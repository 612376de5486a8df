"""What verl's trainers leave of a run: rollout dumps, validation dumps, and the log of its ``file`` logger."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hicra_verl.records import InputError, Record, parse_line

ROLLOUTS, VALIDATION = "rollouts", "validation"
"""Folders of dumps beside a run, as the recipes name them (``trainer.rollout_data_dir``, ``validation_data_dir``)."""

MAX_STEP = 10**15 - 1
"""A number beyond this is no step: figures and browsers could not count so far."""

_PADDING = re.compile(r"pad[0-9a-f]{32}_\d+_0")  # verl 0.9.1, padding_utils.py:196; prompts' own names are UUIDs


@dataclass(frozen=True)
class Rollout:
    """One dumped response.

    Attributes:
        prompt: its prompt's text.
        response: its own.
        expected: the answer that was expected.
        score: NaN where verl dumped none.
        group: the prompt it belongs to.
        session: the one within that; of an agent loop's several outputs the last one counts.
    """

    prompt: str
    response: str
    expected: str
    score: float
    group: str
    session: str


def dumps_in(folder: Path) -> dict[int, Path]:
    """Step to file of a folder of dumps (``STEP.jsonl``); empty where there is none."""
    files = [file for file in folder.glob("*.jsonl") if re.fullmatch(r"[0-9]{1,15}", file.stem)]
    return {int(file.stem): file for file in files}


def read_dump(path: Path, gaps: list[str] | None = None) -> list[Rollout]:
    """The rollouts of one step.

    The rows that verl's V1 trainer adds to fill a batch are left out; a response that is empty because the model ended
    at once is one.

    Args:
        path: the dump.
        gaps: where to note what is missing: a last line cut short, scores that are null or NaN.

    Raises:
        InputError: naming the line and field that is not as verl writes it.
    """
    rollouts = [rollout for rollout, _ in rollouts_in(path, gaps)]
    unscored = sum(math.isnan(rollout.score) for rollout in rollouts)
    if unscored and gaps is not None:
        gaps.append(f"{path.name}: {unscored} of {len(rollouts)} responses have no score (null or NaN)")
    return rollouts


def rollouts_in(path: Path, gaps: list[str] | None = None) -> Iterator[tuple[Rollout, dict[str, Any]]]:
    """The same one by one, each with all fields that verl dumped; missing scores are not noted.

    Raises:
        InputError: as ``read_dump``.
    """
    for row in lines_of(path, gaps):
        uid = str(row.data.get("uid", ""))
        if _PADDING.fullmatch(uid):
            continue
        for name in ("input", "output", "score"):
            if name not in row.data:
                raise row.error(f"no field {name!r}", remedy="is it one of verl's rollout dumps?")
        prompt, response = row.text("input"), row.text("output")
        # V1 names a response {prompt}_{session}_{output}; the other trainers name none, and prompts tell groups apart.
        parts = uid.rsplit("_", 2)
        group, session = (parts[0], parts[1]) if len(parts) == 3 else (prompt, str(row.line))
        yield Rollout(prompt, response, str(row.data.get("gts", "")), _score(row), group, session), row.data


def count_rollouts(path: Path) -> int:
    """How many rollouts ``read_dump`` gives, without parsing what need not be."""
    found, last = 0, b""
    with path.open("rb") as lines:
        for raw in lines:
            if raw.isspace():
                continue
            last = raw
            if b'"pad' in raw and _is_padding(raw, path):
                continue
            found += 1
    return found - (bool(last) and not last.endswith(b"\n") and _is_cut(last, path))


def _is_padding(raw: bytes, path: Path) -> bool:
    try:
        return bool(_PADDING.fullmatch(str(parse_line(raw, path, 1).data.get("uid", ""))))
    except InputError:
        return False


def _is_cut(raw: bytes, path: Path) -> bool:
    try:
        parse_line(raw, path, 1)
    except InputError:
        return True
    return False


def order_of_dump(uids: Sequence[str]) -> list[int]:
    """The places of a batch's responses in the order that verl dumps them in, without those that fill it up.

    V1 sorts by prompt, then session, then output (verl 0.9.1, v1/trainer_base.py:1318).
    """
    keys = []
    for place, uid in enumerate(uids):
        prompt, *numbers = uid.rsplit("_", 2)
        session, output = map(int, numbers) if len(numbers) == 2 else (0, 0)
        if not _PADDING.fullmatch(uid):
            keys.append((prompt if len(numbers) == 2 else uid, session, output, place))
    return [place for *_, place in sorted(keys)]


def _score(row: Record) -> float:
    value = row.data["score"]
    return math.nan if value is None or value != value else row.number("score")


def read_file_log(path: Path, gaps: list[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """The steps of verl's ``file`` logger, with what was logged at each.

    Raises:
        InputError: naming the line that is not as verl writes it.
    """
    for row in lines_of(path, gaps):
        step, data = row.data.get("step"), row.data.get("data")
        if type(step) is not int or not isinstance(data, dict):
            raise row.error('not a line of verl\'s file logger ({"step": …, "data": …})')
        if not 0 <= step <= MAX_STEP:
            raise row.error("expected a training step from 0 on", "step", "remove the line to leave it out")
        yield step, data


def lines_of(path: Path, gaps: list[str] | None = None) -> Iterator[Record]:
    """The rows of a file that a crash may have cut short: such a last line is left out, and noted in ``gaps``.

    Raises:
        InputError: on a line that is not a JSON object in UTF-8.
    """
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            try:
                if raw.strip():
                    yield parse_line(raw, path, number)
            except InputError:
                if raw.endswith(b"\n"):
                    raise
                if gaps is not None:
                    gaps.append(f"{path.name}: its last line is cut short and left out")
