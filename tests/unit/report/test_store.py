"""What `hicra report` writes, read back in plain Python and held against slow and obvious references."""

from __future__ import annotations

import json
import math
import random
import statistics
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_reports import (
    header_of,
    make_report,
    read_columns,
    read_json,
    read_postings,
    read_report,
    rows_of,
    texts_of,
)
from made_up_runs import make_run

from hicra_verl.grams import load_grams
from hicra_verl.grams.text import normalise
from hicra_verl.report import assemble, reader
from hicra_verl.report.advantages import grpo_advantages
from hicra_verl.report.build import write_report
from hicra_verl.report.gram_table import newcombe, wilson
from hicra_verl.report.pieces import columns_blob, postings_blob, shard_of, varint, varints
from hicra_verl.report.words import Index, merged, read_shard, words_of, write_shards
from hicra_verl.verl_formats.dumps import count_rollouts, read_dump

GRAMS = load_grams("paper")
ODD = [
    "क्या बात है",
    "naïve café — so",
    "Ⱥ 𝔘nder_score x²",
    "don’t",
    "ÉCOLE école",
    "a\u0301b",
    "一二三 四",
    "\u00a0so\u2003",
]


def odd_run(folder: Path, steps: int = 4, size: int = 7) -> Path:
    """A run of odd texts and sizes, with missing scores, padding, blank lines and a last line cut short."""
    rng = random.Random(5)
    make_run(folder, steps=1)
    for step in range(1, steps + 1):
        rows = []
        for prompt in range(size):
            for sample in range(prompt % 3 + 1):
                words = [rng.choice([*ODD, f"{rng.random():.4f}"]) for _ in range(rng.randint(0, 12))]
                text = " ".join(words)
                score = None if rng.random() < 0.1 else float(rng.random() < 0.5)
                uid = {"uid": f"{prompt}-{step}_{sample}_0"} if step % 2 else {}
                rows.append({"input": f"prompt {prompt % 5} é", "output": text, "gts": "7", "score": score, **uid})
        rows.insert(2, {"input": "", "output": "", "gts": "", "score": 0.0, "uid": f"pad{'0' * 32}_0_0"})
        lines = [json.dumps(row, ensure_ascii=bool(step % 2)) for row in rows]
        lines.insert(1, "")
        tail = '{"input": "cut' if step == steps else ""
        (folder / "rollouts" / f"{step}.jsonl").write_text("\n".join(lines) + "\n" + tail, encoding="utf-8")
    return folder


def slow_rows(folder: Path) -> list[dict[str, Any]]:
    """Every response of a run in the report's order, one after the other."""
    dumps = [(int(path.stem), kind, path) for name, kind in (("rollouts", "train"), ("validation", "validation"))
             for path in (folder / name).glob("*.jsonl")]  # fmt: skip
    found = []
    for step, kind, path in sorted(dumps):
        groups: dict[str, int] = {}
        for rollout in read_dump(path):
            group = groups.setdefault(rollout.group, len(groups))
            found.append({"step": step, "kind": kind, "rollout": rollout, "group": group})
    return found


def slow_words(text: str) -> list[str]:
    """A word is a run of letters, digits, underscores and marks."""
    words = [""]
    for char in text.lower():
        if char == "_" or unicodedata.category(char)[0] in "LNM":
            words[-1] += char
        elif words[-1]:
            words.append("")
    return [word for word in words if word]


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, bytes]]:
    """A report of an odd run, with blocks so small that there are several."""
    monkeypatch.setattr(assemble, "ROWS_PER_BLOCK", 10)
    monkeypatch.setattr(assemble, "PROMPTS_PER_BLOCK", 2)
    monkeypatch.setattr(reader, "BATCH_ROWS", 5)
    folder = odd_run(tmp_path / "run")
    write_report([str(folder)], tmp_path / "report")
    return folder, read_report(tmp_path / "report")


def test_rows_against_reading_them_one_by_one(odd: tuple[Path, dict[str, bytes]]) -> None:
    folder, pieces = odd
    rows, expected, texts = rows_of(pieces, 0), slow_rows(folder), texts_of(pieces, 0)
    count = len(expected)
    assert {len(values) for values in rows.values()} == {len(texts)} == {count}
    prompts = [text for block in range(4) for text in read_json(pieces, f"prompts/{block}")]
    assert len(prompts) == len(set(prompts)) == read_json(pieces, "manifest")["prompts"]
    for row, one in enumerate(expected):
        rollout = one["rollout"]
        assert prompts[int(rows["prompt"][row])] == rollout.prompt
        assert rows["group"][row] == one["group"]
        assert rows["score"][row] == rollout.score or (math.isnan(rollout.score) and math.isnan(rows["score"][row]))
        assert rows["characters"][row] == len(rollout.response)
        assert texts[row]["t"] == rollout.response
        assert texts[row]["x"]["gts"] == rollout.expected
        marks = texts[row]["m"]
        assert rows["grams"][row] == len(marks) / 4
        assert rows["functions"][row] == sum(1 << function for function in set(marks[2::4]))
    sections = read_json(pieces, "manifest")["runs"][0]["sections"]
    assert sum(section["count"] for section in sections) == count
    for section in sections:
        inside = expected[section["first"] : section["first"] + section["count"]]
        assert {(one["step"], one["kind"]) for one in inside} == {(section["step"], section["kind"])}


def test_marks_stand_where_the_grams_are(odd: tuple[Path, dict[str, bytes]]) -> None:
    """Places are UTF-16 units, as the page's script counts."""
    _, pieces = odd
    seen = 0
    for entry in texts_of(pieces, 0):
        units = entry["t"].encode("utf-16-le")
        for place in range(0, len(entry["m"]), 4):
            start, end, function, gram = entry["m"][place : place + 4]
            text = units[2 * start : 2 * end].decode("utf-16-le")
            assert normalise(text) == normalise(GRAMS.grams[gram].text)
            assert read_json(pieces, "manifest")["gram_list"][gram] == [GRAMS.grams[gram].text, function]
            seen += 1
    assert seen > 50


def test_postings_against_looking_through_every_text(odd: tuple[Path, dict[str, bytes]]) -> None:
    _, pieces = odd
    expected, holds = defaultdict(set), defaultdict(set)
    for row, entry in enumerate(texts_of(pieces, 0)):
        for word in slow_words(entry["t"]):
            expected[word].add(row)
        for gram in entry["m"][3::4]:
            holds[str(gram)].add(row)
    found = {}
    for shard in range(256):
        part = read_postings(pieces[f"words/0/{shard}"])
        assert all(shard_of(word.encode()) == shard for word in part)
        found |= part
    assert found == {word: sorted(rows) for word, rows in expected.items()}
    assert read_json(pieces, "vocabulary/0") == sorted(expected)
    assert read_postings(pieces["holds/0"]) == {gram: sorted(rows) for gram, rows in holds.items()}


def test_planning_is_the_part_of_the_visible_text_in_a_gram(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "rollouts"
    folder.mkdir(parents=True)
    row = {"input": "p", "output": "so  we can see that x = 7", "score": 1.0}
    (folder / "1.jsonl").write_text(json.dumps(row) + "\n")
    write_report([str(tmp_path / "run")], tmp_path / "page.html")
    rows = rows_of(read_report(tmp_path / "page.html"), 0)
    assert rows["planning"][0] == pytest.approx((2 + len("wecanseethat")) / len("sowecanseethatx=7"))


def test_gramstats_against_counting(odd: tuple[Path, dict[str, bytes]]) -> None:
    folder, pieces = odd
    table, expected, texts = read_json(pieces, "gramstats/0"), slow_rows(folder), texts_of(pieces, 0)
    train = [row for row, one in enumerate(expected) if one["kind"] == "train"]
    counts: dict[int, Counter[int]] = defaultdict(Counter)
    for row in train:
        for gram in texts[row]["m"][3::4]:
            counts[gram][expected[row]["step"]] += 1
    steps = table["steps"]
    assert table["counts"] == {str(gram): [found[step] for step in steps] for gram, found in counts.items()}
    assert table["responses"] == [sum(expected[row]["step"] == step for row in train) for step in steps]
    totals = [sum(found[step] for found in counts.values()) for step in steps]
    for line in table["rows"]:
        gram = line["gram"]
        scored = [
            (row, expected[row]["rollout"].score) for row in train if not math.isnan(expected[row]["rollout"].score)
        ]
        with_it = [score > 0 for row, score in scored if gram in texts[row]["m"][3::4]]
        without = [score > 0 for row, score in scored if gram not in texts[row]["m"][3::4]]
        assert line["present"] == [sum(with_it), len(with_it)]
        assert line["absent"] == [sum(without), len(without)]
        shares = [counts[gram][step] / total for step, total in zip(steps, totals, strict=True)]
        assert line["change"] == pytest.approx(shares[-1] - shares[0])  # of four steps, a third is one
        assert (line["first"], line["last"]) == (min(counts[gram]), max(counts[gram]))
        assert 0 < len(line["contexts"]) <= 12
        for row, before, after in line["contexts"]:
            data, gram_text = texts[row]["t"], normalise(GRAMS.grams[gram].text)
            assert before in data
            assert after in data
            assert gram_text in normalise(data)
    assert sum(line["present"][1] for line in table["rows"]) > 20


def test_intervals_by_hand() -> None:
    """Newcombe 1998, tables II: 56 of 70 against 48 of 80."""
    difference, low, high = newcombe((56, 70), (48, 80)) or (0, 0, 0)
    assert (round(difference, 4), round(low, 4), round(high, 4)) == (0.2, 0.0524, 0.3339)
    assert [round(one, 4) for one in wilson(81, 263)] == [0.2553, 0.3662]
    assert newcombe((0, 0), (1, 2)) is None
    assert newcombe((3, 3), (0, 4)) is not None


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 0.5, math.nan]), st.integers(0, 3)), max_size=30))
def test_advantages_against_the_formula(rows: list[tuple[float, int]]) -> None:
    scores, groups = [score for score, _ in rows], [group for _, group in rows]
    found = grpo_advantages(np.array(scores, dtype=float), np.array(groups, dtype=int))
    for place, (score, group) in enumerate(rows):
        known = [s for s, g in rows if g == group and not math.isnan(s)]
        if math.isnan(score):
            assert math.isnan(found[place])
        elif len(known) == 1:
            assert found[place] == pytest.approx(score / (1 + 1e-6))
        else:
            expected = (score - statistics.mean(known)) / (statistics.stdev(known) + 1e-6)
            assert found[place] == pytest.approx(expected, abs=1e-6)


def test_advantages_are_verls() -> None:
    core_algos = pytest.importorskip("verl.trainer.ppo.core_algos")
    import torch

    scores, groups = [1.0, 0.0, 0.0, 1.0, 1.0, 0.3], [0, 0, 0, 1, 1, 2]
    own, _ = core_algos.compute_grpo_outcome_advantage(
        torch.tensor(scores)[:, None], torch.ones(6, 1), np.array(list(map(str, groups)))
    )
    assert grpo_advantages(np.array(scores), np.array(groups)) == pytest.approx(own[:, 0].tolist(), abs=1e-5)


# --- bytes ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_varints(values: list[int]) -> None:
    data, lengths = varints(np.array(values, dtype=np.uint64))
    assert data == b"".join(map(varint, values))
    assert lengths.tolist() == [len(varint(value)) for value in values]


def test_the_hash_is_fnv_1a() -> None:
    """Values of the authors' own page."""
    assert shard_of(b"") == 0x811C9DC5 % 256
    assert shard_of(b"a") == 0xE40C292C % 256
    assert shard_of(b"foobar") == 0xBF9CF968 % 256


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"])))
def test_words_of_any_script(text: str) -> None:
    assert {word.decode() for word in words_of(text)} == set(slow_words(text))


@given(
    st.lists(st.lists(st.sets(st.sampled_from(["so", "wait", "é", "x1", "7"])), max_size=6), min_size=1, max_size=4),
    st.integers(0, 300),
)
def test_merged_sections_are_one_index(sections: list[list[set[str]]], gap: int) -> None:
    import tempfile

    places = {b"so": 0, b"wait": 2, "é".encode(): 2, b"x1": 0, b"7": 1}
    expected, parts, row = defaultdict(list), [], 0
    with tempfile.TemporaryDirectory() as folder:
        for number, section in enumerate(sections):
            index = Index()
            for words in section:
                index.add(row, [word.encode() for word in words])
                for word in words:
                    expected[word].append(row)
                row += 1 + gap
            write_shards(Path(folder) / str(number), index.shards(dict(places), 3))
            parts.append(Path(folder) / str(number))
        found = {}
        for shard in range(3):
            postings = merged(read_shard(path, shard) for path in parts)
            found |= read_postings(postings_blob(postings))
    assert found == expected


def test_blobs_are_aligned() -> None:
    columns = {"a": np.arange(3, dtype="<u1"), "b": np.arange(3, dtype="<f4"), "c": np.array([-1, 0, 1], dtype="<i4")}
    blob = columns_blob(columns)
    assert read_columns(blob) == {"a": [0, 1, 2], "b": [0.0, 1.0, 2.0], "c": [-1, 0, 1]}
    assert header_of(columns_blob({})) == {"rows": 0, "columns": {}}


# --- forms ------------------------------------------------------------------------------------------------------------


def pieces_without_time(pieces: dict[str, bytes]) -> dict[str, Any]:
    same = {name: data for name, data in pieces.items() if name not in ("made", "manifest")}
    manifest = read_json(pieces, "manifest")
    return {**same, "manifest": {key: one for key, one in manifest.items() if key not in ("made", "folder", "watch")}}


def test_page_folder_and_processes_give_the_same(tmp_path: Path) -> None:
    page = pieces_without_time(read_report(make_report(tmp_path, "page.html")))
    words = [f"run{place}={tmp_path / f'run{place}'}" for place in range(2)]
    for name, processes in (("one", 1), ("two", 2)):
        write_report(words, tmp_path / name, processes=processes)
        found = read_report(tmp_path / name)
        assert read_json(found, "manifest")["folder"]
        assert pieces_without_time(found) == page
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == [
            ".hicra_report", "data", "index.html", "plotly.js",
        ]  # fmt: skip


@pytest.mark.parametrize("text", [b"", b"\n\n", b"  \n"])
def test_a_dump_without_rows(text: bytes, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", steps=2)
    (folder / "rollouts" / "1.jsonl").write_bytes(text)
    write_report([str(folder)], tmp_path / "page.html")
    pieces = read_report(tmp_path / "page.html")
    assert [section["count"] for section in read_json(pieces, "manifest")["runs"][0]["sections"]] == [3, 0, 16, 3]


def test_rows_are_counted_as_they_are_read(tmp_path: Path) -> None:
    odd_run(tmp_path / "run")
    for path in [*(tmp_path / "run").glob("rollouts/*.jsonl"), *(tmp_path / "run").glob("validation/*.jsonl")]:
        assert count_rollouts(path) == len(read_dump(path))
    whole = tmp_path / "whole.jsonl"
    whole.write_text(json.dumps({"input": "p", "output": "so", "score": 1.0}))  # its last line has no end
    assert count_rollouts(whole) == len(read_dump(whole)) == 1
