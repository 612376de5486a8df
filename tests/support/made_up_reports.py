"""Reports of made-up runs, and how to read a report's pieces back: slowly, in plain Python."""

from __future__ import annotations

import base64
import gzip
import json
import re
import struct
from pathlib import Path
from typing import Any

from made_up_runs import make_run

from hicra_verl.report.build import write_report

CODES = {"f4": "f", "i4": "i", "u4": "I", "u2": "H", "u1": "B", "i1": "b"}


def make_report(folder: Path, output: str = "report.html", steps: int = 3, runs: int = 2, **options: Any) -> Path:
    """The report of some made-up runs: one page, or a folder if ``output`` has no suffix."""
    words = [f"run{place}={make_run(folder / f'run{place}', steps=steps, seed=place)}" for place in range(runs)]
    write_report(words, folder / output, **options)
    return folder / output


def read_report(output: Path) -> dict[str, bytes]:
    """Every piece of a report, unpacked."""
    if output.is_dir():
        files = {str(path.relative_to(output / "data"))[:-3]: path.read_text() for path in output.glob("data/**/*.js")}
        found = {}
        for name, text in files.items():
            match = re.fullmatch(r'hicra\.piece\("([^"]*)","([A-Za-z0-9+/=]*)"\)\n', text)
            assert match, name
            assert match[1] == name
            found[name] = match[2]
    else:
        pattern = r'<script type="text/plain" data-piece="([^"]*)">([A-Za-z0-9+/=]*)</script>'
        found = dict(re.findall(pattern, output.read_text(encoding="utf-8")))
    return {name: gzip.decompress(base64.b64decode(text)) for name, text in found.items()}


def read_json(pieces: dict[str, bytes], name: str) -> Any:
    """A piece of JSON; NaN is none."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(pieces[name], parse_constant=refuse)


def header_of(blob: bytes) -> Any:
    (length,) = struct.unpack_from("<I", blob)
    return json.loads(blob[4 : 4 + length])


def read_columns(blob: bytes) -> dict[str, list[float]]:
    """A blob of columns."""
    header = header_of(blob)
    assert all(offset % 8 == 0 for _, offset in header["columns"].values())
    return {
        name: list(struct.unpack_from(f"<{header['rows']}{CODES[kind]}", blob, offset))
        for name, (kind, offset) in header["columns"].items()
    }


def read_postings(blob: bytes) -> dict[str, list[int]]:
    """A blob of postings: key to rows."""
    found = {}
    for key, (offset, size, count) in header_of(blob)["words"].items():
        rows, row, shift, value = [], 0, 0, 0
        for byte in blob[offset : offset + size]:
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                row += value
                rows.append(row)
                shift = value = 0
        assert len(rows) == count
        found[key] = rows
    return found


def rows_of(pieces: dict[str, bytes], run: int) -> dict[str, list[float]]:
    """All rows of a run, column by column."""
    found: dict[str, list[float]] = {}
    block = 0
    while f"rows/{run}/{block}" in pieces:
        for name, values in read_columns(pieces[f"rows/{run}/{block}"]).items():
            found.setdefault(name, []).extend(values)
        block += 1
    return found


def texts_of(pieces: dict[str, bytes], run: int) -> list[dict[str, Any]]:
    """All texts of a run."""
    found: list[dict[str, Any]] = []
    while f"text/{run}/{len(found) // 32}" in pieces and len(found) % 32 == 0:
        found += read_json(pieces, f"text/{run}/{len(found) // 32}")
    return found
