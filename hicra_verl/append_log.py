"""JSONL files that grow line by line and survive a kill: what is in them was done, and is not done again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hicra_verl.errors import HicraError
from hicra_verl.records import InputError, parse_line


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
    for number, line in enumerate(complete.split(b"\n")[:-1], 1):
        try:
            row = parse_line(line + b"\n", path, number).data
        except InputError as error:
            raise AppendLogError(error.problem, file=path, line=number, remedy="remove the line to redo it") from error
        yield number, row


@contextmanager
def appending(path: Path, sync: bool = False) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Open a log to add to; the function that is given writes one row, which then survives a kill.

    Args:
        path: the log; its folder must exist.
        sync: wait until each row is on the disk, so that it survives a power failure, too.

    Raises:
        AppendLogError: if it cannot be written, at once or at any row; what is in it already is kept.
    """

    def failed(error: OSError) -> AppendLogError:
        remedy = "what is in it is kept; the same command goes on from there"
        return AppendLogError(f"cannot be written ({error.strerror})", file=path, remedy=remedy)

    def append(row: dict[str, Any]) -> None:
        # Half of a character is written as JSON's own escape of it.
        data = (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", errors="backslashreplace")
        try:
            while data:
                data = data[stream.write(data) :]
            if sync:
                os.fsync(stream.fileno())
        except OSError as error:
            raise failed(error) from error

    try:
        stream = path.open("ab", buffering=0)
    except OSError as error:
        raise failed(error) from error
    with stream:
        yield append
