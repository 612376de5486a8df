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

    A last line that a kill cut short is left out. Nothing is written: ``appending`` removes it from the file.

    Raises:
        AppendLogError: if a line is not a JSON object, nor the beginning of one that was cut short.
    """
    if not path.exists():
        return
    *lines, tail = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            row = parse_line(line + b"\n", path, number).data
        except InputError as error:
            raise AppendLogError(error.problem, file=path, line=number, remedy="remove the line to redo it") from error
        yield number, row
    last = _last_row(tail, path, len(lines) + 1)
    if last is not None:
        yield len(lines) + 1, last


def _last_row(tail: bytes, path: Path, number: int) -> dict[str, Any] | None:
    """The row in a last line without an end; None if it was cut short.

    Raises:
        AppendLogError: if it is neither.
    """
    try:
        return parse_line(tail, path, number).data
    except InputError as error:
        if tail and tail != b"{" and not tail.startswith(b'{"'):
            problem = f"the last line has no end and is no row that was cut short ({error.problem})"
            remedy = "is it another file? if not, remove the line"
            raise AppendLogError(problem, file=path, line=number, remedy=remedy) from error
        return None


def _mend_end(path: Path) -> None:
    """Let a log end with a whole line: end its last row, or remove what was cut short."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        if stream.read(1) == b"\n":
            return
        data = path.read_bytes()
        tail = data.rpartition(b"\n")[2]
        if _last_row(tail, path, data.count(b"\n") + 1) is None:
            stream.truncate(len(data) - len(tail))
        else:
            stream.write(b"\n")


@contextmanager
def appending(path: Path, sync: bool = False) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Open a log to add to; the function that is given writes one row, which then survives a kill.

    A last row that a kill cut short is removed, so that the next one does not run into it.

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
        _mend_end(path)
        stream = path.open("ab", buffering=0)
    except OSError as error:
        raise failed(error) from error
    with stream:
        yield append
