"""A problem's pictures: from the data set's own files only, and only what is a picture."""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from hicra_verl.data.problems import UnusableRow
from hicra_verl.records import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # others may start programs (EPS) or read further files
MOST_BYTES = 64 << 20  # ours; of one picture's file
MOST_PIXELS = 64_000_000  # ours; 192 MB once it is decoded
ARCHIVE = "images.zip"
_STARTS = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\0": "image/tiff",
    b"MM\0*": "image/tiff",
}


def media_type(content: bytes) -> str | None:
    """A picture's media type by its first bytes; None if it is none. Most are PNG and JPEG, some WebP and GIF."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((name for start, name in _STARTS.items() if content.startswith(start)), None)


def image_bytes(image: dict[str, Any], folder: Path | None) -> bytes:
    """A picture's file, whether the row holds it or names it.

    A name comes from the row, that is from a stranger: it may lead nowhere but into the data set's own folder or its
    ``images.zip``, and what is there must be a picture. Nothing else is read, so that nothing else can be sent on.

    Args:
        image: has ``bytes``, or a ``path``.
        folder: the data set's; None where only a file was given: then a name leads nowhere.

    Raises:
        UnusableRow: if there is no such picture, or what is there is none.
    """
    content = image.get("bytes")
    name = image.get("path")
    if not content and name:
        if folder is None:
            raise UnusableRow("image beside the file", f"{name} is read only from a folder: --from FOLDER")
        content = _named(str(name), folder)
    if not isinstance(content, bytes) or not content:
        raise UnusableRow("image missing", "its cell is empty")
    problem = not_an_image(content)
    if problem:
        raise UnusableRow("not an image", problem)
    return content


def not_an_image(content: bytes) -> str:
    """Why these bytes are no picture to be shown to a model; "" if they are one."""
    from PIL import Image

    if len(content) > MOST_BYTES:
        return f"{len(content):,} bytes; at most {MOST_BYTES:,} are read"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    return f"{opened.width} x {opened.height} points; at most {MOST_PIXELS:,} are read"
                opened.load()
    except Image.DecompressionBombError:
        return f"too many points; at most {MOST_PIXELS:,} are read"
    except Exception as error:  # Pillow's decoders raise almost anything on broken files
        reason = str(error).partition("<")[0].strip() or type(error).__name__
        return f"cannot be decoded: {reason}"
    return ""


def _named(name: str, folder: Path) -> bytes:
    own = folder.resolve()
    try:
        path = (own / name).resolve()
        if not path.is_relative_to(own):
            raise UnusableRow("image outside the data set's folder", name)
        if path.is_file():
            with path.open("rb") as stream:
                return stream.read(MOST_BYTES + 1)
    except UnusableRow:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links, a NUL, a name too long
        raise UnusableRow("image missing", f"{name[:80]!r} cannot be read") from error
    archive = own / ARCHIVE
    if archive.is_file():
        if not _own_archive(archive.resolve(), own):
            raise UnusableRow("image outside the data set's folder", f"{ARCHIVE} is a link out of it")
        for member in (name, name.removeprefix("images/")):
            if (content := _member(archive, member)) is not None:
                return content
    raise UnusableRow("image missing", f"{name} is neither beside the file nor in {ARCHIVE}")


def _own_archive(archive: Path, own: Path) -> bool:
    """Whether it is in the data set's folder; in the hub's cache, files are links into the data set's ``blobs``."""
    kept = [above.parent for above in own.parents if above.name == "snapshots"]
    blobs = [folder / "blobs" for folder in kept if folder.name.startswith("datasets--")]
    return any(archive.is_relative_to(folder) for folder in (own, *blobs))


def _member(archive: Path, name: str) -> bytes | None:
    try:
        opened = _archive(archive)
        if name not in opened.NameToInfo:
            return None
        with opened.open(name) as stream:
            return stream.read(MOST_BYTES + 1)
    except (OSError, RuntimeError, NotImplementedError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        problem = f"cannot be read ({error})"
        raise InputError(problem, file=archive, field=name, remedy="fetch or copy it again") from error


@lru_cache(maxsize=1)
def _archive(path: Path) -> zipfile.ZipFile:
    """Opened once: reading the table of its 40,000 members takes longer than reading a member."""
    return zipfile.ZipFile(path)
