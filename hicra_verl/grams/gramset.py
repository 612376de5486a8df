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
from hicra_verl.files import write_text
from hicra_verl.grams.text import normalise
from hicra_verl.records import short

SCHEMA_VERSION = 1
FUNCTIONS = ("deduction", "branching", "backtracing", "other")
"""What a gram does in a trace. The first three are the paper's; "other" is ours (goals, reading the problem…)."""

LONGEST = 1000  # characters of a gram, and of a name a tenth; longer ones are no phrases, but a file gone wrong

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
        data = (resources.files("hicra_verl.grams") / f"{name_or_path}.json").read_bytes()
        return parse_grams(data, f"gram set {name_or_path!r}")
    try:
        path = Path(name_or_path).expanduser()
        found = path.is_file()
        data = path.read_bytes() if found else b""
    except (OSError, RuntimeError) as error:  # unreadable; ~nobody
        raise GramSetError(str(error), file=name_or_path, remedy="give another gram-set file") from error
    if not found:
        raise GramSetError(
            f"{name_or_path}: no such gram set or file; {nearest(str(name_or_path), shipped)} "
            "Give one of these names, or the path of a gram-set file (.json)."
        )
    return parse_grams(data, str(path))


def save_grams(grams: GramSet, path: Path) -> None:
    """Write a gram-set file, one gram a line; see ``files.writing``.

    Raises:
        GramSetError: if it would not be a valid set: no grams, two that match the same.
        OutputError: if it cannot be written.
    """
    head = {
        "schema_version": SCHEMA_VERSION,
        "name": grams.name,
        "description": grams.description,
        "provenance": dict(grams.provenance),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}," for key, value in head.items()]
    entries = [json.dumps(vars(gram), ensure_ascii=False) for gram in grams]
    body = ",\n".join(f"  {entry}" for entry in entries)
    content = "{\n" + "\n".join(lines) + '\n "grams": [\n' + body + "\n ]\n}\n"
    parse_grams(content.encode("utf-8", errors="surrogatepass"), f"the set for {path}")  # none that is no set again
    write_text(path, content)


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
    text, content = _decode(data, origin)
    if not isinstance(content, dict):
        raise GramSetError(f"{origin}: expected a JSON object with the keys {', '.join(_SET_KEYS)}")
    version = content.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise GramSetError(
            f"{origin}: schema_version is {short(version)}, this hicra_verl reads {SCHEMA_VERSION}; "
            + ("upgrade hicra-verl" if isinstance(version, int) and version > SCHEMA_VERSION else "set it to 1")
        )
    _check_keys(content, _SET_KEYS, ("name", "grams"), origin)
    name = content["name"]
    if not isinstance(name, str) or not name or not name.isprintable() or {"/", "\\"} & set(name):
        raise GramSetError(f"{origin}: 'name' must be a non-empty string of printable characters without slashes")
    if len(name) > LONGEST // 10:
        raise GramSetError(f"{origin}: 'name' has {len(name):,} characters; at most {LONGEST // 10}")
    description = content.get("description", "")
    if not isinstance(description, str):
        raise GramSetError(f"{origin}: 'description' must be a string")
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
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise GramSetError(
            f"{origin}: holds half of a character ({error.object[error.start]!r}); was an emoji cut in two? repair it"
        ) from error
    return GramSet(name, tuple(grams), description, tuple(provenance.items()))


def _decode(data: bytes, origin: str) -> tuple[str, Any]:
    """The file's text, and what it holds."""
    try:
        text = data.decode("utf-8-sig")
        return text, json.loads(text, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise GramSetError(
            f"{origin}, line {line}: byte 0x{error.object[error.start]:02x} is not valid UTF-8; save the file as UTF-8"
        ) from error
    except json.JSONDecodeError as error:
        raise GramSetError(
            f"{origin}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg}); "
            "`python -m json.tool FILE` shows where"
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deep; a key twice; a number of thousands of digits
        why = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise GramSetError(f"{origin}: not a gram set ({why}); write one gram a line, as `hicra grams` does") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise ValueError(f"the key {short(twice)} stands twice in one object")
    return found


def _check_keys(entry: dict[str, Any], known: tuple[str, ...], required: tuple[str, ...], where: str) -> None:
    for key in entry:
        if key not in known:
            raise GramSetError(f"{where}: unknown key {key[:60]!r}; {nearest(key, list(known))}")
    for key in required:
        if key not in entry:
            raise GramSetError(f"{where}: the key {key!r} is missing")


def _parse_gram(entry: Any, where: str) -> Gram:
    if not isinstance(entry, dict):
        raise GramSetError(f"{where}: expected an object with the keys {', '.join(_GRAM_KEYS)}, got {short(entry)}")
    _check_keys(entry, _GRAM_KEYS, ("text", "function"), where)
    text, function = entry["text"], entry["function"]
    if not isinstance(text, str) or not text.strip():
        raise GramSetError(f"{where}, field 'text': the gram is empty; remove the line")
    if len(text) > LONGEST:
        raise GramSetError(
            f"{where}, field 'text': the gram has {len(text):,} characters, at most {LONGEST:,} make a phrase; is a "
            "quotation mark missing? remove the line"
        )
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
        raise GramSetError(
            f"{where}, field 'function': {short(function)}; {nearest(str(function)[:LONGEST], list(FUNCTIONS))}"
        )
    source = entry.get("source", "")
    if not isinstance(source, str):
        raise GramSetError(f"{where}, field 'source': expected a string, got {short(source)}")
    return Gram(text, function, source)


def _entry_lines(text: str, count: int) -> list[int]:
    """Line number of each entry of the top-level list "grams" in a document already known to be valid JSON."""
    decoder = json.JSONDecoder()
    position = text.index("{") + 1
    lines: list[int] = []
    line, counted = 1, 0  # the line of the place that has been counted to: a whole count for each gram takes minutes
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
            line, counted = line + text.count("\n", counted, position), position
            lines.append(line)
            _, position = decoder.raw_decode(text, position)
        return lines


def _skip(text: str, position: int, characters: str) -> int:
    while text[position] in characters:
        position += 1
    return position
