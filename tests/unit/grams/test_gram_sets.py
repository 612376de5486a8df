"""Operations on gram sets, and their statistics on a corpus, against slow and obvious counts."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
import tiny_model
from conftest import ROOT
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.grams import load_grams
from hicra_verl.grams.gramset import Gram, GramSet, save_grams, shipped_sets
from hicra_verl.grams.operations import difference, drop, merge, words_in
from hicra_verl.grams.statistics import agreement, contained, statistics
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.grams.token_bytes import token_bytes

FIRST = GramSet(
    "first", (Gram("we can", "other", ""), Gram("we can see", "deduction", ""), Gram("so", "deduction", ""))
)
SECOND = GramSet("second", (Gram("We  Can", "branching", ""), Gram("wait", "backtracing", "")))
TEXTS = ["So we can see. So, wait", "we can, we can do it", "nothing here", "We can see so we can see"]


def test_merge_keeps_the_first() -> None:
    merged, conflicts = merge([FIRST, SECOND], "both")
    assert [gram.text for gram in merged] == ["we can", "we can see", "so", "wait"]
    assert conflicts == ["'We  Can': other in first, branching in second; other kept"]


def test_difference() -> None:
    found = difference(FIRST, SECOND)
    assert [gram.text for gram in found.only_first] == ["we can see", "so"]
    assert [gram.text for gram in found.only_second] == ["wait"]
    assert [(a.function, b.function) for a, b in found.other_function] == [("other", "branching")]


def test_drop() -> None:
    paper = load_grams("paper")
    kept = drop(paper, 0.3, 1)
    assert len(kept) == 249 - 75
    assert [gram for gram in paper if gram in set(kept)] == list(kept)
    assert kept.sha256 == drop(paper, 0.3, 1).sha256 != drop(paper, 0.3, 2).sha256
    assert dict(kept.provenance)["how"] == "30% dropped at random, seed 1"


def test_statistics_by_hand() -> None:
    found = statistics(FIRST, TEXTS)
    assert (found.solutions, found.without) == (4, 1)
    assert found.uses.tolist() == [2, 3, 3]
    assert found.inside.tolist() == [3, 0, 0]
    assert found.solutions_with.tolist() == [3, 2, 2]
    assert found.by_function == {"deduction": 2, "branching": 0, "backtracing": 0, "other": 3}
    characters = sum(len(re.sub(r"\s", "", text)) for text in TEXTS)
    flagged = {1: 3 * len("wecansee") + 2 * len("wecan") + 3 * len("so"), 3: 3 * len("wecansee")}
    assert found.shares[1] == flagged[1] / characters
    assert found.shares[2] == (flagged[1] - 6) / characters
    assert found.shares[3] == flagged[3] / characters
    assert found.pairs == Counter({(1, 2): 2})
    assert found.together(least=2) == [(1, 2, 2, pytest.approx(1.0))]
    assert contained(TextMatcher(FIRST)) == [(0, 1)]


def test_shares_are_of_the_characters_as_written() -> None:
    """A curly quote takes three bytes where the rules of matching make it one; white space takes none."""
    grams = GramSet("quote", (Gram("let's", "other", ""),))
    assert statistics(grams, ["let’s\u00a0 let's"]).shares[1] == 1.0
    assert agreement(grams, grams, ["let’s"]).both == 1.0
    assert agreement(grams, grams, ["let’s ab"]).both == 7 / 9


def test_pairs_against_all_pairs() -> None:
    paper = load_grams("paper")
    texts = ["Let's see. Wait, but we can try. So now", "we can try, but now", "so so so", "now but so"]
    found = statistics(paper, texts)
    slow: Counter[tuple[int, int]] = Counter()
    for text in texts:
        counted = statistics(paper, [text]).uses
        slow.update(combinations([place for place, count in enumerate(counted) if count], 2))
    assert found.pairs == slow


def test_agreement_by_hand() -> None:
    found = agreement(FIRST, SECOND, TEXTS)
    whole = sum(len(re.sub(r"\s", "", text)) for text in TEXTS)
    both = 5 * len("wecan")
    assert found.both == both / whole
    assert found.first == (3 * 8 + 2 * 5 + 3 * 2) / whole
    assert found.second == (both + 4) / whole
    assert found.only_first.tolist() == [0, 0, 3]
    assert found.only_second.tolist() == [0, 1]


def test_tokens_with_a_tokenizer() -> None:
    tokenizer = tiny_model.train_tokenizer(TEXTS * 50)
    found = statistics(FIRST, TEXTS, tokenizer, token_bytes(tokenizer))
    assert found.unit == "tokens"
    assert 0 < found.shares[3] < found.shares[2] < found.shares[1] < 1


# --- the sets that are shipped ----------------------------------------------------------------------------------------


def test_paper_phrases_is_the_papers_set_of_three_words_and_more() -> None:
    wanted = [gram for gram in load_grams("paper") if words_in(gram) >= 3]
    assert list(load_grams("paper-phrases")) == wanted
    assert len(wanted) == 185


@pytest.mark.parametrize("name", shipped_sets())
def test_every_shipped_set_says_where_it_is_from_and_has_its_page(name: str) -> None:
    grams = load_grams(name)
    assert grams.name == name
    assert grams.description
    assert grams.provenance
    page = (ROOT / "examples" / "mining" / "sets.md").read_text()
    assert f"`{name}`" in page
    assert grams.sha256[:12] in page


# --- the commands -----------------------------------------------------------------------------------------------------


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["grams", *words], env={"COLUMNS": "200"})
    return done.exit_code, " ".join(done.output.split())


def test_commands(tmp_path: Path) -> None:
    for grams in (FIRST, SECOND):
        save_grams(grams, tmp_path / f"{grams.name}.json")
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"response": text}) + "\n" for text in TEXTS))
    first, second, corpus = (str(tmp_path / name) for name in ("first.json", "second.json", "c.jsonl"))
    code, said = run("list")
    assert (code, all(name in said for name in shipped_sets())) == (0, True)
    code, said = run("validate", first, second)
    assert (code, "first.json: valid; 3 grams" in said) == (0, True)
    code, said = run("merge", first, second, "-o", str(tmp_path / "m.json"))
    assert (code, len(load_grams(tmp_path / "m.json"))) == (0, 4)
    code, said = run("drop", first, "-o", str(tmp_path / "d.json"), "--share", "0.4")
    assert (code, len(load_grams(tmp_path / "d.json"))) == (0, 2)
    code, said = run("diff", first, second)
    assert "in both: 1; only in first: 2; only in second: 1; with another function: 1" in said
    code, said = run("diff", first, second, "--corpus", corpus)
    assert (code, "first alone flags" in said) == (0, True)
    code, said = run("stats", corpus, "--grams", first, "-o", str(tmp_path / "s.md"))
    assert code == 0
    assert "| 3 | 37.5% | 2 | 1.50 | 0 | we can see (deduction) |" in (tmp_path / "s.md").read_text()


def test_validate_names_every_faulty_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"schema_version": 9, "name": "a", "grams": []}')
    (tmp_path / "b.json").write_text(
        '{"schema_version": 1, "name": "b", "grams": [\n{"text": "so", "function": "other"},\n'
        '{"text": "SO", "function": "other"}]}'
    )
    code, said = run("validate", str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert code == 2
    assert "schema_version is 9" in said
    assert "b.json, line 3, field 'text': 'SO' is already on line 2" in said
