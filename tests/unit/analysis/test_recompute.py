"""What is read again in a run's dumps: parts of the gram set, tokens, and groups after a filter."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FIXTURES
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_run
from typer.testing import CliRunner

from hicra_verl.analysis.recompute import measure_runs, recompute
from hicra_verl.analysis.runs import load_run
from hicra_verl.cli import app
from hicra_verl.grams import Gram, GramSet, load_grams
from hicra_verl.grams.gramset import GramSetError
from hicra_verl.grams.operations import at_least, drop, words_in
from hicra_verl.grams.parts import counts_of_parts
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.entropy import entropy_nats
from hicra_verl.training.token_ids import TokenIdWriter
from hicra_verl.verl_formats.dumps import read_dump

GRAMS = load_grams("paper")
NESTED = GramSet(
    "nested", tuple(Gram(text, "other", "") for text in ("so", "so we", "we can", "can see that", "see", "ü — so", "—"))
)
WORDS = st.sampled_from(["so", "we", "can", "see", "that", "ü", "—", "x", "\n", "so,", "\ufffd", "SO", "’"])


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.lists(WORDS, max_size=12).map(" ".join), max_size=4), st.lists(st.booleans(), min_size=7, max_size=7)
)
def test_a_part_is_counted_as_a_new_matcher_counts_it(texts: list[str], kept: list[bool]) -> None:
    part = np.array(kept)
    (found,) = counts_of_parts(TextMatcher(NESTED), texts, [part])
    grams = [gram for gram, keep in zip(NESTED, kept, strict=True) if keep]
    expected = TextMatcher(GramSet("part", tuple(grams))).gram_counts(texts) if grams else []
    assert found[part].tolist() == list(expected)
    assert not found[~part].any()


def test_a_dropped_grams_place_is_taken_by_another() -> None:
    """Counts of the whole set with the dropped ones left out are something else."""
    part = np.array([gram.text != "so we" for gram in NESTED])
    (found,) = counts_of_parts(TextMatcher(NESTED), ["so we can see that"], [part])
    counted = {gram.text for gram, count in zip(NESTED, found, strict=True) if count}
    assert counted == {"so", "we can", "see"}
    masked = TextMatcher(NESTED).gram_counts(["so we can see that"]) * part
    assert masked.sum() == 1


def test_the_figure_without_30_percent_matches_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    measured = measure_runs([str(run)], dropped=range(2))
    for step, found in measured.texts[0].items():
        texts = [rollout.response for rollout in read_dump(run / "rollouts" / f"{step}.jsonl")]
        again = [TextMatcher(drop(GRAMS, 0.3, seed)).gram_counts(texts) for seed in range(2)]
        assert found.part_entropies == pytest.approx(list(map(entropy_nats, again)))


def test_grams_of_three_words_and_more(tmp_path: Path) -> None:
    assert {words_in(gram) >= 3 for gram in at_least(GRAMS, 3)} == {True}
    assert len(at_least(GRAMS, 3)) == 185  # 76 + 85 + 18 + 6 of the published ones
    assert at_least(GRAMS, 1) is GRAMS
    with pytest.raises(GramSetError, match="no gram of paper has 9 words or more; ask for fewer"):
        at_least(GRAMS, 9)
    words = ["dynamics", f"a={make_run(tmp_path / 'a')}", "-o", str(tmp_path / "out"), "--min-words", "3"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    names = {path.stem for path in (tmp_path / "out").glob("*.png")}
    assert {
        "dynamics_a",
        "dynamics_a_3_words",
        "distributions_a_3_words",
        "sensitivity_a_3_words",
        "comparison",
    } <= names
    with (tmp_path / "out" / "metrics.csv").open() as stream:
        rows = {(row["run"], row["metric"]): float(row["value"]) for row in csv.DictReader(stream)}
    assert rows["a_3_words", "hicra/distinct_grams"] < rows["a", "hicra/distinct_grams"]
    assert rows["a_3_words", "hicra/pass@4"] == rows["a", "hicra/pass@4"]
    # What was logged of all grams, and texts alone do not give, is not shown as that of the longer ones.
    assert ("a", "hicra/perplexity_planning_relative") in rows
    assert ("a_3_words", "hicra/perplexity_planning_relative") not in rows
    assert ("a_3_words", "response_length/mean") in rows


def test_tokens_are_counted_where_they_are_known(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", steps=2)
    assert {found.unit for found in recompute(load_run(str(folder)), GRAMS).values()} == {"words"}
    name = str(FIXTURES / "tokenizers" / "byte_level")
    given_ = recompute(load_run(str(folder)), GRAMS, tokenizer=name)[1]
    assert given_.unit == "tokens of byte_level"
    assert all(token.isdigit() for token, _ in given_.words)
    writer = TokenIdWriter(folder)
    for step in (1, 2):
        response, own = torch.tensor([5, 6, 5, 9]), torch.tensor([1, 1, 1, 0])
        writer.add(["a_0_0"], [torch.tensor([1])], [response], [own])
        writer.write(step)
    kept = recompute(load_run(str(folder)), GRAMS, tokenizer=name)[1]
    assert (kept.unit, kept.words) == ("tokens", [("5", 2), ("6", 1)])  # a tool's output is not counted
    done = CliRunner().invoke(app, ["dynamics", f"a={folder}", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "tokens by rank" in (tmp_path / "out" / "distributions_a.svg").read_text(encoding="utf-8")


def test_dumps_hold_what_the_filter_left(tmp_path: Path) -> None:
    """verl dumps the groups that it trains on; what is recomputed from them has a name that says so."""
    folder = make_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as stream:
        data = {"training/filter_groups/evicted_samples": 7, "hicra/pass@4": 0.25}
        stream.write(json.dumps({"step": 2, "data": data}) + "\n")
    for replace in (False, True):
        run = load_run(str(folder))
        recompute(run, GRAMS, replace)
        assert run.series("hicra/pass@4") == ([2], [0.25])  # logged before the filter; it is of no grams
        assert run.series("hicra/pass@4_kept")[0] == [1, 2, 3, 4, 5, 6]
        assert run.series("hicra/any_correct") == ([], [])


def test_the_figure_shows_the_change_matched_for_size(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", steps=3, prompts=120, size=4)
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["dynamics", f"a={folder}", "-o", str(out)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    with (out / "dynamics_a.csv").open() as stream:
        rows = {(row["metric"], row["step"]): float(row["value"]) for row in csv.DictReader(stream)}
    assert rows["hicra/conditional_entropy_matched_change_nats", "1"] == 0.0
    assert rows["hicra/conditional_entropy_matched_sd", "3"] > 0
    assert ("hicra/conditional_entropy_nats", "1") not in rows
    few = CliRunner().invoke(
        app, ["dynamics", f"b={make_run(tmp_path / 'few')}", "-o", str(out)], env={"COLUMNS": "200"}
    )
    assert "the panel 'words after a gram, change (nats)' is blank" in few.output
