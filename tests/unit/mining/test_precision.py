"""The blind check of gram sets: the sample, the ratings, precision and agreement."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from fake_server import FakeServer
from made_up_solutions import TEXTS, candidates, sample_of, solutions, write
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.errors import HicraError
from hicra_verl.mining.precision import fleiss_kappa, load_ratings, score, wilson_interval
from hicra_verl.mining.sample import PrecisionError, load_items


def test_a_blind_sample(tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", solutions(200))
    done = sample_of(tmp_path)
    assert done.exit_code == 0, done.output
    shown = (tmp_path / "sample" / "items.json").read_text()
    items = json.loads(shown)["items"]
    key = json.loads((tmp_path / "sample" / "key.json").read_text())
    arms = [key["arms"][str(item["number"])] for item in items]
    assert [item["number"] for item in items] == list(range(1, 12))
    assert sorted(map(tuple, arms)) == [("candidates",)] * 5 + [("random n-grams",)] * 6
    assert "candidates" not in shown
    assert "random" not in shown
    lengths = {len(item["phrase"].split()) for item, arm in zip(items, arms, strict=True) if arm == ["candidates"]}
    for item, arm in zip(items, arms, strict=True):
        assert 1 <= len(item["contexts"]) <= 3
        for before, phrase, after in item["contexts"]:
            assert phrase.casefold() == item["phrase"]
            assert (before, after) != ("", "")
        if arm == ["random n-grams"]:
            assert len(item["phrase"].split()) in lengths
            assert item["phrase"] not in {text.casefold() for text in TEXTS}
    assert "raters may be at work on it" in " ".join(sample_of(tmp_path).output.split())
    first = (tmp_path / "sample" / "items.json").read_bytes()
    shutil.rmtree(tmp_path / "sample")
    sample_of(tmp_path)
    assert (tmp_path / "sample" / "items.json").read_bytes() == first


def test_more_than_there_is(tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", solutions(200))
    done = CliRunner().invoke(
        app,
        [
            "precision",
            "sample",
            str(tmp_path / "c.jsonl"),
            "--set",
            f"{candidates(tmp_path)}=50",
            "-o",
            str(tmp_path / "s"),
        ],
    )
    assert done.exit_code == 2
    assert "of its 10 grams occur in the corpus, fewer than 50" in " ".join(done.output.split())
    (tmp_path / "one.jsonl").write_text('{"response": "We can use the fact that it is so", "correct": 1}\n')
    words = ["precision", "sample", str(tmp_path / "one.jsonl"), "--set", f"{candidates(tmp_path)}=1"]
    done = CliRunner().invoke(app, [*words, "--random", "99", "-o", str(tmp_path / "s")])
    assert (done.exit_code, "too small for 99 random n-grams" in done.output) == (2, True)


def rate(folder: Path, name: str, yes: set[str]) -> Path:
    items = json.loads((folder / "items.json").read_text())["items"]
    rows = [f"{item['number']}\t{item['phrase']}\t{'yes' if item['phrase'] in yes else 'no'}" for item in items]
    (folder / f"{name}.tsv").write_text("number\tphrase\trating\n" + "\n".join(rows) + "\n")
    return folder / f"{name}.tsv"


def test_precision_by_hand(tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", solutions(200))
    sample_of(tmp_path)
    folder = tmp_path / "sample"
    key = json.loads((folder / "key.json").read_text())["arms"]
    items = json.loads((folder / "items.json").read_text())["items"]
    grams = [item["phrase"] for item in items if key[str(item["number"])] == ["candidates"]]
    files = [rate(folder, "a", set(grams)), rate(folder, "b", set(grams[:4])), rate(folder, "c", set(grams[:1]))]
    result = score(folder, files)
    arm = result.arms["candidates"]
    assert (arm.items, arm.precision) == (5, 0.8)  # four grams have two votes or three
    assert arm.by_rater == {"a": 1.0, "b": 0.8, "c": 0.2}
    assert result.arms["random n-grams"].precision == 0.0
    assert [phrase for _, phrase, _ in result.disagreements] == grams[1:]
    done = CliRunner().invoke(app, ["precision", "score", str(folder), *map(str, files)])
    assert done.exit_code == 0
    assert "80.0%" in done.output
    said = " ".join(done.output.split())  # second-hand: the paper itself does not print these numbers
    assert "authors in review (second-hand), beside it: 86% of its strategic grams, 12% of random n-grams" in said
    with pytest.raises(PrecisionError, match="at least two raters"):
        score(folder, files[:1])


def test_a_model_rates(tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", solutions(200))
    sample_of(tmp_path)
    server = FakeServer(
        lambda body: "Yes." if "approach" in body["messages"][0]["content"].split("\n")[0] else "Hm, no"
    )
    words = ["precision", "rate", str(tmp_path / "sample"), "--rater", "m", "--base-url", server.url, "--model", "m"]
    try:
        for _ in range(2):
            assert CliRunner().invoke(app, words).exit_code == 0
    finally:
        server.close()
    assert len(server.asked) == 11
    other = CliRunner().invoke(app, [*words[:-1], "another"])
    assert (other.exit_code, "answers of m, not of another" in " ".join(other.output.split())) == (2, True)
    assert "[[" in server.asked[0]["messages"][0]["content"]
    ratings = load_ratings(tmp_path / "sample" / "m.tsv", load_items(tmp_path / "sample"))
    assert len(ratings) == 11


def test_a_filled_in_rating_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", solutions(200))
    sample_of(tmp_path)
    words = ["precision", "rate", str(tmp_path / "sample"), "--rater", "ann", "--sheet"]
    assert "0 of 11 rated" in " ".join(CliRunner().invoke(app, words).output.split())
    table = tmp_path / "sample" / "ann.tsv"
    lines = table.read_text().splitlines()
    cells = lines[1].split("\t")
    table.write_text("\n".join([lines[0], "\t".join([*cells[:2], "yes", *cells[3:]]), *lines[2:]]) + "\n")
    assert "1 of 11 rated" in " ".join(CliRunner().invoke(app, words).output.split())
    assert table.read_text().splitlines()[1].split("\t")[2] == "yes"
    table.write_text(table.read_text().replace("\tyes\t", "\tno\t"))
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "remove one of the two files" in " ".join(done.output.split())) == (2, True)


def test_wilson_by_hand() -> None:
    """Newcombe (1998), table I: 81 of 263, and 15 of 148; and nothing of 20."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_fleiss_by_hand() -> None:
    assert fleiss_kappa([[True] * 3, [False] * 3]) == 1.0
    # Two items, three raters: 2-1 and 3-0. Observed (1/3 + 1)/2; shares 5/6 and 1/6.
    assert fleiss_kappa([[True, True, False], [True] * 3]) == pytest.approx((2 / 3 - 26 / 36) / (1 - 26 / 36))
    assert math.isnan(fleiss_kappa([[True] * 3] * 2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\tb\n", "expected the columns number and rating"),
        ("number\trating\n77\tyes\n", "line 2, field 'number': \"77\" is no item"),
        ("number\trating\n1\tperhaps\n", "line 2, field 'rating': expected one of yes, no, got"),
        ("number\trating\n1\tyes\n", "10 items are not rated yet"),
    ],
)
def test_unfinished_ratings(content: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", solutions(200))
    sample_of(tmp_path)
    (tmp_path / "x.tsv").write_text(content)
    with pytest.raises(HicraError, match=message):
        load_ratings(tmp_path / "x.tsv", load_items(tmp_path / "sample"))
