"""The one way files are written: beside their place, then into it, so that a failure leaves the old file whole."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from hicra_verl.errors import HicraError

_REMEDIES = {
    errno.ENOSPC: "free some space; what was there before is still there",
    errno.EDQUOT: "free some of your quota; what was there before is still there",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f); what was there before is still there",
    errno.EACCES: "give a place you may write to",
    errno.EPERM: "give a place you may write to",
    errno.EROFS: "give a place you may write to",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its symbolic links go in a circle; remove one",
}


class OutputError(HicraError):
    """A file that cannot be written; whatever stood there before is untouched."""


def check_output(path: Path) -> Path:
    """Refuse, before any work is done, a path that no file can be written to.

    Returns:
        The file that will be written: ``path``, or what it links to; a device or a pipe by the name it is given.

    Raises:
        OutputError: if it is a folder, or its folder does not exist or cannot be written to.
    """
    try:
        target = path if is_stream(path) else path.resolve(strict=False)
        if target.is_dir():
            raise OutputError("is a folder, expected a file", file=path, remedy="add a file name to it")
        if not target.parent.is_dir():
            raise OutputError("its folder does not exist", file=path, remedy=f"mkdir -p {target.parent}")
        if not os.access(target if target.exists() else target.parent, os.W_OK):
            raise OutputError("cannot be written to", file=path, remedy=_REMEDIES[errno.EACCES])
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links; a NUL in the name
        if isinstance(error, HicraError):
            raise
        raise _unwritable(path, error) from error
    return target


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe or a link to one, such as ``/dev/stdout``, which may resolve to no path."""
    return path.exists() and not path.is_dir() and not path.is_file()


def check_outputs(*outputs: Path, inputs: Iterable[Path] = (), folders: Iterable[Path] = ()) -> None:
    """Refuse, before any work is done, outputs of which one would replace another, or one of the inputs.

    Args:
        outputs: the files to be written.
        inputs: files that are read.
        folders: folders that are read as a whole, such as a model's; no output may stand beside their files.

    Raises:
        OutputError: if two of them are one file, one is an input's, or no file can be written there.
    """
    closed = {Path(os.path.realpath(path)): path for path in folders}
    taken = {Path(os.path.realpath(path)): f"the input {path}" for path in inputs}  # a circle of links raises nothing
    for output in outputs:
        target = check_output(output)
        if target in taken:
            raise OutputError(f"would replace {taken[target]}", file=output, remedy="give -o another name")
        for parent in (target.parent, Path(os.path.realpath(output.parent))):
            if parent in closed:
                problem = f"would stand among the files of {closed[parent]}, which are read"
                raise OutputError(problem, file=output, remedy="give -o another folder")
        taken[target] = "another output of this command"


def make_folder(path: Path) -> Path:
    """Make a folder for outputs, and those above it; it may exist.

    Raises:
        OutputError: if it cannot be made, or is a file.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        try:
            path.stat()
        except OSError as reason:  # a link, in a circle or to nowhere
            raise _unwritable(path, reason) from reason
        raise OutputError("is a file, expected a folder", file=path, remedy="give another folder") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise _unwritable(path, error) from error
    return path


@contextmanager
def writing(path: Path, *, binary: bool = False, newline: str | None = None, sync: bool = True) -> Iterator[IO[Any]]:
    """Open a file to be written whole: it takes the place of the old one at the end, and only if nothing failed.

    A device or a pipe (``/dev/stdout``) is written to as it is.

    Args:
        path: where it will stand; its folder must exist.
        binary: bytes instead of UTF-8 text.
        newline: as ``open`` takes it; a CSV file wants ``""``.
        sync: wait until the disk has it; too slow for tens of thousands of files that can be made again.

    Raises:
        OutputError: if it cannot be written: a full disk, a missing folder.
    """
    target = check_output(path)
    text: dict[str, Any] = {} if binary else {"encoding": "utf-8", "newline": newline}
    mode = "wb" if binary else "w"
    try:
        if is_stream(target):
            with target.open(mode, **text) as stream:
                yield stream
            return
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:64]}.", suffix=".part")
        try:
            with open(handle, mode, **text) as stream:
                yield stream
                stream.flush()
                if sync:
                    os.fsync(stream.fileno())
            os.chmod(name, stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask())
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error
    except UnicodeEncodeError as error:
        raise OutputError(f"holds half of a character ({error.object[error.start]!r})", file=path) from error


def sha256_of(path: Path) -> str:
    """A file's SHA-256, in hexadecimal; read in pieces, so that it may be large."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def identity(path: Path) -> tuple[int, int]:
    """What two names of one file have in common: links, symbolic and hard."""
    found = path.stat()
    return found.st_dev, found.st_ino


def write_text(path: Path, text: str) -> None:
    """Write a text file whole; see ``writing``."""
    with writing(path) as stream:
        stream.write(text)


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Write a value as a JSON file; see ``writing``."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritable(path: Path, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or str(error)
    remedy = _REMEDIES.get(getattr(error, "errno", 0), "give another path")
    return OutputError(f"cannot be written ({reason})", file=path, remedy=remedy)
