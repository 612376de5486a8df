"""A set of strategic grams and its file.

The file is JSON, made to be read and diffed by people (one gram a line) and checked by machines::

    {
      "schema_version": 1,
      "name": "paper",
      "description": "…",
      "provenance": {"texts": "where they are from", "functions": "who labelled them"},
      "grams": [
        {"text": "let's try a different angle", "function": "branching", "source": "paper"},
        …
      ]
    }
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from hicra_verl.errors import HicraError, nearest
from hicra_verl.grams.text import normalise

SCHEMA_VERSION = 1
FUNCTIONS = ("deduction", "branching", "backtracing", "other")
"""What a gram does in a trace. The first three are the paper's; "other" is ours (goals, reading the problem…)."""

_SET_KEYS = ("schema_version", "name", "description", "provenance", "grams")
_GRAM_KEYS = ("text", "function", "source")


class GramSetError(HicraError):
    """A gram set that cannot be used; the message names the file, the line, the field and the remedy."""


@dataclass(frozen=True)
class Gram:
    """One strategic gram.

    Attributes:
        text: the phrase, as published or mined. Matching ignores case, quote style and white space runs.
        function: one of ``FUNCTIONS``.
        source: where this gram is from.
    """

    text: str
    function: str
    source: str


@dataclass(frozen=True)
class GramSet:
    """Grams with a name and their provenance.

    Attributes:
        name: what reports call it.
        grams: the grams, in the file's order; a gram's position is its index everywhere.
        description: one sentence.
        provenance: how the set came about, in words or as recorded by the tool that made it.
    """

    name: str
    grams: tuple[Gram, ...]
    description: str = ""
    provenance: tuple[tuple[str, Any], ...] = ()

    def __len__(self) -> int:
        return len(self.grams)

    def __iter__(self) -> Iterator[Gram]:
        return iter(self.grams)

    @property
    def sha256(self) -> str:
        """Hash of what decides the masks and labels: the texts and functions, in order (64 hex digits)."""
        content = "\n".join(f"{gram.text}\t{gram.function}" for gram in self.grams)
        return hashlib.sha256(content.encode()).hexdigest()


def shipped_sets() -> list[str]:
    """Names of the gram sets that come with the package."""
    folder = resources.files("hicra_verl.grams")
    return sorted(entry.name[: -len(".json")] for entry in folder.iterdir() if entry.name.endswith(".json"))


def load_grams(name_or_path: str | Path) -> GramSet:
    """Load a shipped gram set by name, or a gram-set file by path.

    Raises:
        GramSetError: if there is no such set or file, or its content is not a valid gram set.
    """
    shipped = shipped_sets()
    if str(name_or_path) in shipped:
        origin = f"gram set {name_or_path!r}"
        data = (resources.files("hicra_verl.grams") / f"{name_or_path}.json").read_bytes()
    else:
        path = Path(name_or_path).expanduser()
        origin = str(path)
        if not path.is_file():
            raise GramSetError(
                f"{name_or_path}: no such gram set or file; {nearest(str(name_or_path), shipped)} "
                "Give one of these names, or the path of a gram-set file (.json)."
            )
        data = path.read_bytes()
    return parse_grams(data, origin)


def save_grams(grams: GramSet, path: Path) -> None:
    """Write a gram-set file, one gram a line; in one move, so that a kill leaves the old file or the new one."""
    head = {
        "schema_version": SCHEMA_VERSION,
        "name": grams.name,
        "description": grams.description,
        "provenance": dict(grams.provenance),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}," for key, value in head.items()]
    entries = [json.dumps(vars(gram), ensure_ascii=False) for gram in grams]
    body = ",\n".join(f"  {entry}" for entry in entries)
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text("{\n" + "\n".join(lines) + '\n "grams": [\n' + body + "\n ]\n}\n", encoding="utf-8")
    temporary.replace(path)


def parse_grams(data: bytes, origin: str) -> GramSet:
    """Parse and validate the content of a gram-set file.

    Args:
        data: the file's bytes.
        origin: what to call the file in messages.

    Raises:
        GramSetError: naming the line, the field and the remedy.
    """
    if not data.strip():
        raise GramSetError(f"{origin}: the file is empty; a gram set needs at least one gram")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise GramSetError(
            f"{origin}, line {line}: byte 0x{data[error.start]:02x} is not valid UTF-8; save the file as UTF-8"
        ) from error
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise GramSetError(
            f"{origin}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg}); "
            "`python -m json.tool FILE` shows where"
        ) from error
    if not isinstance(content, dict):
        raise GramSetError(f"{origin}: expected a JSON object with the keys {', '.join(_SET_KEYS)}")
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise GramSetError(
            f"{origin}: schema_version is {version!r}, this hicra_verl reads {SCHEMA_VERSION}; "
            + ("upgrade hicra-verl" if isinstance(version, int) and version > SCHEMA_VERSION else "set it to 1")
        )
    _check_keys(content, _SET_KEYS, ("name", "grams"), origin)
    if not isinstance(content["name"], str) or not content["name"]:
        raise GramSetError(f"{origin}: 'name' must be a non-empty string")
    provenance = content.get("provenance", {})
    if not isinstance(provenance, dict):
        raise GramSetError(f"{origin}: 'provenance' must be a JSON object")
    entries = content["grams"]
    if not isinstance(entries, list) or not entries:
        raise GramSetError(f"{origin}: 'grams' must be a list of at least one gram")

    lines = _entry_lines(text, len(entries))
    grams: list[Gram] = []
    seen: dict[str, int] = {}
    for entry, line in zip(entries, lines, strict=True):
        where = f"{origin}, line {line}"
        grams.append(_parse_gram(entry, where))
        key = normalise(grams[-1].text)
        if key in seen:
            raise GramSetError(
                f"{where}, field 'text': {grams[-1].text!r} is already on line {seen[key]} (matching ignores case, "
                "quote style and white space runs); remove one"
            )
        seen[key] = line
    return GramSet(content["name"], tuple(grams), str(content.get("description", "")), tuple(provenance.items()))


def _check_keys(entry: dict[str, Any], known: tuple[str, ...], required: tuple[str, ...], where: str) -> None:
    for key in entry:
        if key not in known:
            raise GramSetError(f"{where}: unknown key {key!r}; {nearest(key, list(known))}")
    for key in required:
        if key not in entry:
            raise GramSetError(f"{where}: the key {key!r} is missing")


def _parse_gram(entry: Any, where: str) -> Gram:
    if not isinstance(entry, dict):
        raise GramSetError(f"{where}: expected an object with the keys {', '.join(_GRAM_KEYS)}, got {entry!r}")
    _check_keys(entry, _GRAM_KEYS, ("text", "function"), where)
    text, function = entry["text"], entry["function"]
    if not isinstance(text, str) or not text.strip():
        raise GramSetError(f"{where}, field 'text': the gram is empty; remove the line")
    if text != text.strip():
        raise GramSetError(
            f"{where}, field 'text': {text!r} begins or ends with white space and so would depend on what stands "
            "beside it; remove the white space (word boundaries are checked anyway)"
        )
    if "\ufffd" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise GramSetError(
            f"{where}, field 'text': {text!r} holds a character that stands for undecodable bytes and can never "
            "match; write the intended character"
        )
    if function not in FUNCTIONS:
        raise GramSetError(f"{where}, field 'function': {function!r}; {nearest(str(function), list(FUNCTIONS))}")
    source = entry.get("source", "")
    if not isinstance(source, str):
        raise GramSetError(f"{where}, field 'source': expected a string, got {source!r}")
    return Gram(text, function, source)


def _entry_lines(text: str, count: int) -> list[int]:
    """Line number of each entry of the top-level list "grams" in a document already known to be valid JSON."""
    decoder = json.JSONDecoder()
    position = text.index("{") + 1
    lines: list[int] = []
    while True:
        position = _skip(text, position, " \t\r\n,")
        key, position = decoder.raw_decode(text, position)
        position = _skip(text, position, " \t\r\n:")
        if key != "grams":
            _, position = decoder.raw_decode(text, position)
            continue
        position += 1  # past the opening bracket
        for _ in range(count):
            position = _skip(text, position, " \t\r\n,")
            lines.append(text.count("\n", 0, position) + 1)
            _, position = decoder.raw_decode(text, position)
        return lines


def _skip(text: str, position: int, characters: str) -> int:
    while text[position] in characters:
        position += 1
    return position
