"""JSONL files that grow line by line and survive a kill: what is in them was done, and is not done again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hicra_verl.errors import HicraError


class AppendLogError(HicraError):
    """A line that is not what it should be; the message names the file, the line and the remedy."""


def read_log(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, row) of what has been written so far; nothing if the file is not there yet.

    A last line that a kill cut short is removed from the file, so that the next one does not run into it.

    Raises:
        AppendLogError: if a complete line is not a JSON object.
    """
    if not path.exists():
        return
    data = path.read_bytes()
    complete = data[: data.rfind(b"\n") + 1]
    if len(complete) < len(data):
        with path.open("r+b") as stream:
            stream.truncate(len(complete))
    for number, line in enumerate(complete.splitlines(), 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise AppendLogError(f"{path}, line {number}: not a row ({error}); remove the line to redo it") from error
        yield number, row
