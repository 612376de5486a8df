"""Reads one dump: its rows, texts, postings, measures, and the places where its grams stand."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hicra_verl.files import writing
from hicra_verl.grams.gramset import FUNCTIONS
from hicra_verl.grams.matcher import Ints
from hicra_verl.grams.pieces import BREAK
from hicra_verl.grams.text_matcher import TextMatcher, TextMatches, text_bytes
from hicra_verl.metrics.step import StepMetrics
from hicra_verl.report.advantages import grpo_advantages
from hicra_verl.report.images import holds_image, images_of
from hicra_verl.report.pieces import ROWS_PER_TEXT, WORD_SHARDS, Store, as_json
from hicra_verl.report.sections import DTYPES, TRAIN, Found, Section
from hicra_verl.report.traced import Traced
from hicra_verl.report.turns import turn_count, turns_of
from hicra_verl.report.words import Index, words_of, write_shards
from hicra_verl.training.token_ids import read_token_counts
from hicra_verl.training.traces import read_traces
from hicra_verl.verl_formats.dumps import Rollout, rollouts_in

BATCH_ROWS = 256  # held in memory as texts
CONTEXTS = 3  # of each gram and section
CONTEXT_CHARACTERS = 60
FIELD_CHARACTERS = 4_000  # of a further field of a dump


class _Listening(TextMatcher):
    """A matcher that keeps what it found for others."""

    def __init__(self, matcher: TextMatcher) -> None:
        self.grams, self._matcher = matcher.grams, matcher._matcher
        self.heard: list[TextMatches] = []

    def match(self, texts: Sequence[str], following_words: int = 0) -> Iterator[TextMatches]:
        for found in super().match(texts, following_words):
            self.heard.append(found)
            yield found


class Reader:
    """Reads a section, some rows at a time.

    Args:
        section: which.
        matcher: of the gram set.
        store: where its texts go.
    """

    def __init__(self, section: Section, matcher: TextMatcher, store: Store) -> None:
        self.section, self.store = section, store
        self._matcher = _Listening(matcher)
        size = len(matcher.grams)
        self.found = Found(gram_counts=np.zeros(size, dtype=np.int64), present=np.zeros((size, 2), dtype=np.int64))
        self.words, self.holds = Index(), Index()
        self._function = np.array([FUNCTIONS.index(gram.function) for gram in matcher.grams], dtype=np.int64)
        self._lists: dict[str, list[Any]] = {name: [] for name in DTYPES}
        self._step = StepMetrics(matcher.grams, filtering=section.filtering)
        self._prompts: dict[str, int] = {}
        self._groups: dict[str, int] = {}
        self._entries: list[bytes] = []
        kept = read_traces(section.traces, self.found.gaps) if section.traces else []
        self._traced = Traced(kept)
        self._uids: list[str] = []

    def read(self) -> Found:
        """Read it all."""
        section, found = self.section, self.found
        rows = rollouts_in(section.path, found.gaps)
        while batch := list(islice(rows, min(BATCH_ROWS, section.count - len(self._lists["score"])))):
            self._add(batch)
        if len(self._lists["score"]) < section.count:
            found.gaps.append(f"{section.path.name}: grew shorter while it was read")
        self._write_texts(last=True)
        self._finish()
        return found

    def _add(self, batch: list[tuple[Rollout, dict[str, Any]]]) -> None:
        rollouts = [rollout for rollout, _ in batch]
        texts = [rollout.response for rollout in rollouts]
        self._matcher.heard.clear()
        if self.section.kind == TRAIN:
            self._step.add_texts(rollouts, self._matcher)
        else:
            for _ in self._matcher.match(texts):
                pass
        before = self.section.first + len(self._lists["score"])
        marks = self._marks(before, rollouts)
        for row, ((rollout, fields), mark) in enumerate(zip(batch, marks, strict=True), before):
            turns = turns_of(rollout.response)
            lists = self._lists
            lists["prompt"].append(self._prompts.setdefault(rollout.prompt, len(self._prompts)))
            lists["group"].append(self._groups.setdefault(rollout.group, len(self._groups)))
            lists["score"].append(rollout.score)
            lists["characters"].append(len(rollout.response))
            lists["turns"].append(turn_count(turns, fields))
            self._uids.append(str(fields.get("uid", "")))
            self.found.characters += len(rollout.response)
            self.words.add(row, words_of(rollout.response))
            self._traced.add(row, rollout.group, rollout.score, rollout.response)
            rest = {name: value for name, value in fields.items() if name not in _KNOWN}
            further = {name: _shown(value) for name, value in rest.items() if not holds_image(value)}
            if images := images_of(rest):
                further["images"] = images
            if turns:
                further["turns"] = turns
            self._entries.append(as_json({"t": rollout.response, "m": mark, "x": further}))
        self._write_texts()

    def _marks(self, before: int, rollouts: Sequence[Rollout]) -> list[list[int]]:
        """For each response, its counted grams: begin, end, function and gram of each; notes what they add up to."""
        marks: list[list[int]] = []
        for heard in self._matcher.heard:
            matches, base = heard.matches, heard.texts.start
            data = [text_bytes(rollouts[number].response) for number in heard.texts]
            flagged = np.add.reduceat(matches.planning_mask[0], heard.starts, dtype=np.int64)
            visible = list(map(_visible, data))
            self._lists["planning"] += (flagged / np.maximum(visible, 1)).tolist()
            gram, owner = matches.gram[matches.counted], heard.owner[matches.counted] - base
            begin = matches.first_token[matches.counted] - heard.starts[owner]
            end = matches.end_token[matches.counted] - heard.starts[owner]
            self._note(before + base, rollouts[base : heard.texts.stop], data, gram, owner, begin, end)
            bounds = np.searchsorted(owner, np.arange(len(data) + 1))
            for number, (start, stop) in enumerate(pairwise(bounds.tolist())):
                if start < stop and not data[number].isascii():
                    units = _units_before(data[number])
                    begin[start:stop], end[start:stop] = units[begin[start:stop]], units[end[start:stop]]
            whole = np.stack([begin, end, self._function[gram], gram], axis=1)
            marks += [whole[a:b].ravel().tolist() for a, b in pairwise(bounds.tolist())]
        return marks

    def _note(
        self,
        before: int,
        rollouts: Sequence[Rollout],
        data: list[bytes],
        gram: Ints,
        owner: Ints,
        begin: Ints,
        end: Ints,
    ) -> None:
        """Counts, holders and contexts of the grams of some responses."""
        found, size = self.found, len(data)
        found.gram_counts += np.bincount(gram, minlength=len(found.gram_counts))
        self._lists["grams"] += np.minimum(np.bincount(owner, minlength=size), 65_535).tolist()
        bits: Ints = np.zeros(size, dtype=np.int64)
        np.bitwise_or.at(bits, owner, 1 << self._function[gram])
        self._lists["functions"] += bits.tolist()
        width = len(found.gram_counts)
        pairs, first = np.unique(owner * width + gram, return_index=True)  # by response, then gram
        holders, held = np.divmod(pairs, width)
        ends = np.searchsorted(holders, np.arange(size + 1)).tolist()
        names = [b"%d" % one for one in held.tolist()]
        for number in range(size):
            self.holds.add(before + number, names[ends[number] : ends[number + 1]])
        scores = np.array([rollout.score for rollout in rollouts])[holders] if len(holders) else np.zeros(0)
        found.present[:, 0] += np.bincount(held[scores > 0], minlength=width)
        found.present[:, 1] += np.bincount(held[~np.isnan(scores)], minlength=width)
        order = np.argsort(held, kind="stable")
        place = np.arange(len(order)) - np.searchsorted(held[order], held[order])
        for chosen in order[place < CONTEXTS].tolist():
            kept = found.contexts[int(held[chosen])]
            if len(kept) < CONTEXTS:
                text, at = data[int(holders[chosen])], int(first[chosen])
                kept.append((before + int(holders[chosen]), *_around(text, int(begin[at]), int(end[at]))))

    def _write_texts(self, last: bool = False) -> None:
        """Write the text pieces that are complete; those that other sections share are kept as edges."""
        section, found = self.section, self.found
        row = section.first + len(self._lists["score"]) - len(self._entries)
        while self._entries:
            piece, skipped = divmod(row, ROWS_PER_TEXT)
            part = self._entries[: ROWS_PER_TEXT - skipped]
            if len(part) + skipped < ROWS_PER_TEXT and not last:
                return
            del self._entries[: len(part)]
            row += len(part)
            if len(part) == ROWS_PER_TEXT:
                found.size += self.store.put(f"text/{section.run}/{piece}", b"[" + b",".join(part) + b"]")
            else:
                found.edges[piece] = part

    def _finish(self) -> None:
        found, lists = self.found, self._lists
        count = len(lists["score"])
        scores = np.array(lists["score"], dtype=np.float64)
        known = scores[~np.isnan(scores)]
        found.scored = (int((known > 0).sum()), len(known))
        if len(known) < count:
            missing = f"{count - len(known)} of {count} responses have no score (null or NaN)"
            found.gaps.append(f"{self.section.path.name}: {missing}")
        advantage = np.full(count, np.nan)
        if self.section.kind == TRAIN:
            advantage = grpo_advantages(scores, np.array(lists["group"], dtype=np.int64))
            found.metrics = self._step.metrics()
        lists["advantage"] = advantage.tolist()
        lists["tokens"], lists["trace"] = self._token_counts(), [-1] * count
        for place, (trace, row) in enumerate(zip(self._traced.traces, self._traced.rows(), strict=True)):
            found.traces.append({**trace, "row": row})
            if row >= 0:
                self._put_trace(row - self.section.first, place, trace)
        limit = self.section.limit
        lists["clipped"] = [-1 if limit is None or n < 0 else int(n >= limit) for n in lists["tokens"]]
        found.columns = {name: np.array(lists[name]).astype(kind) for name, kind in DTYPES.items()}
        found.prompts = list(self._prompts)

    def _token_counts(self) -> list[int]:
        """Of each response, by its name; of a dump that has no names, by its place."""
        counts = read_token_counts(self.section.ids) if self.section.ids is not None else []
        if not any(self._uids) and len(counts) == len(self._uids):
            return [count for _, count in counts]
        by_name = dict(counts)
        return [by_name.get(uid, -1) if uid else -1 for uid in self._uids]

    def _put_trace(self, at: int, place: int, trace: dict[str, Any]) -> None:
        lists, tokens = self._lists, len(trace["tokens"])
        values = [value for value in trace["advantage"] or [] if value is not None]
        lists["trace"][at], lists["tokens"][at] = place, tokens
        if values:
            lists["advantage"][at] = sum(values) / len(values)
        if tokens:
            lists["planning"][at] = sum(one is not None for one in trace["function"]) / tokens


_KNOWN = {"input", "output", "score", "step"}
_ASCII = bytes(range(128))
_WHITE = bytes(code for code in range(128) if chr(code).isspace())
# UTF-16 units that a byte of UTF-8 begins: a character beyond U+FFFF takes two. 0xff stands for U+FFFD.
_UNITS = np.array(
    [1 if code < 0x80 or 0xC0 <= code < 0xF0 or code == 0xFF else 2 if code >= 0xF0 else 0 for code in range(256)],
    dtype=np.uint8,
)


def _units_before(data: bytes) -> Ints:
    """(N + 1,) how many UTF-16 units stand before each byte of a text."""
    found = np.zeros(len(data) + 1, dtype=np.int64)
    np.cumsum(_UNITS[np.frombuffer(data, dtype=np.uint8)], out=found[1:])
    return found


def _visible(data: bytes) -> int:
    """Bytes of a text without its white space."""
    shown = len(data.translate(None, _WHITE))
    if data.isascii():
        return shown
    others = data.translate(None, _ASCII + bytes([BREAK])).decode()
    return shown - sum(len(char.encode()) for char in others if char.isspace())


def _around(data: bytes, begin: int, end: int) -> tuple[str, str]:
    wide = 4 * CONTEXT_CHARACTERS
    before = data[max(0, begin - wide) : begin].decode(errors="ignore")[-CONTEXT_CHARACTERS:]
    return before, data[end : end + wide].decode(errors="ignore")[:CONTEXT_CHARACTERS]


def _shown(value: Any) -> Any:
    """A further field of a dump as the page shows it: short, and JSON."""
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and abs(value) < 1e15):
        return value
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))[:FIELD_CHARACTERS]


def read_section(section: Section, matcher: TextMatcher, store: Store, folder: Path) -> Path:
    """Read a section into two files in ``folder``, unless they are there already; the name of the first.

    Raises:
        InputError: on a row that is not as verl writes it.
    """
    path = folder / f"{section.key(matcher.grams)}.section"
    if path.exists():
        return path
    reader = Reader(section, matcher, store if store.folder is not None else Store(None))
    found = reader.read()
    found.pieces = reader.store.kept
    write_shards(path.with_suffix(".words"), [*reader.words.shards(_PLACES, WORD_SHARDS), *reader.holds.shards({}, 1)])
    with writing(path, binary=True, sync=False) as stream:
        pickle.dump(found, stream, protocol=5)
    return path


_PLACES: dict[bytes, int] = {}
"""The shard of each word that this process has seen: hashing them is slower than looking them up."""
