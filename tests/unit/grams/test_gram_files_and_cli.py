"""Gram-set files, `hicra tag` and `hicra doctor`: what they do, and what they say about bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from click.testing import Result
from conftest import ROOT, real_tokenizer
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.grams import FUNCTIONS, GramSet, GramSetError, load_grams
from hicra_verl.grams.gramset import parse_grams, save_grams
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.grams.token_bytes import token_bytes


def file_with(*grams: str, head: str = '"schema_version": 1, "name": "t"') -> bytes:
    return ("{" + head + ',\n"grams": [\n' + ",\n".join(grams) + "\n]}").encode()


GOOD = '{"text": "but wait", "function": "backtracing"}'


def test_the_papers_set() -> None:
    grams = load_grams("paper")
    assert len(grams) == 249
    assert {gram.function for gram in grams} == set(FUNCTIONS)
    assert [len([g for g in grams if len(g.text.split()) == n]) for n in range(1, 7)] == [19, 45, 76, 85, 18, 6]
    assert "ours" in dict(grams.provenance)["functions"]


def test_hash_follows_texts_and_labels() -> None:
    one = parse_grams(file_with(GOOD), "x")
    assert one.sha256 == parse_grams(file_with(GOOD, head='"schema_version": 1, "name": "other"'), "x").sha256
    assert one.sha256 != parse_grams(file_with(GOOD.replace("backtracing", "other")), "x").sha256


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"  \n", "x.json: the file is empty"),
        (b'{"a": \n}', "x.json, line 2, column 1: not valid JSON"),
        (b'{"name": "\xff"}', "x.json, line 1: byte 0xff is not valid UTF-8"),
        (b"[]", "x.json: expected a JSON object"),
        (file_with(GOOD, head='"schema_version": 2, "name": "t"'), "schema_version is 2.*upgrade hicra-verl"),
        (file_with(GOOD, head='"name": "t"'), "schema_version is null.*set it to 1"),
        (
            file_with(GOOD, head='"schema_version": 1, "name": "t", "nmae": 1'),
            "unknown key 'nmae'; did you mean 'name'",
        ),
        (file_with(GOOD, head='"schema_version": 1'), "the key 'name' is missing"),
        (file_with(), "'grams' must be a list of at least one gram"),
        (file_with(GOOD, '{"text": "But  Wait", "function": "other"}'), "line 4, field 'text'.*already on line 3"),
        (file_with(GOOD, '{"text": " ", "function": "other"}'), "line 4, field 'text': the gram is empty"),
        (file_with('{"text": "so ", "function": "other"}'), "line 3, field 'text'.*white space"),
        (file_with('{"text": "a\\ufffd", "function": "other"}'), "line 3, field 'text'.*can never match"),
        (file_with('{"text": "so", "function": "deducton"}'), "line 3, field 'function'.*did you mean 'deduction'"),
        (file_with('{"text": "so", "label": "other"}'), "line 3: unknown key 'label'"),
        (file_with('{"text": "so"}'), "line 3: the key 'function' is missing"),
        (file_with('"so"'), "line 3: expected an object"),
    ],
)
def test_bad_gram_files(data: bytes, message: str) -> None:
    with pytest.raises(GramSetError, match=message):
        parse_grams(data, "x.json")


def test_missing_gram_set(tmp_path: Path) -> None:
    with pytest.raises(GramSetError, match="no such gram set or file; did you mean 'paper'"):
        load_grams("papr")
    with pytest.raises(GramSetError, match=r"gone.json: no such gram set or file"):
        load_grams(tmp_path / "gone.json")


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny_model.train_tokenizer(["But wait, let's try. The plan is to add.", "x y z"]).save_pretrained(folder)
    return folder


def hicra(*words: object) -> Result:
    """The command in this process, where what it imports is imported already."""
    return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "200"})


def fresh_hicra(*words: object) -> subprocess.CompletedProcess[str]:
    """The command as a shell runs it."""
    command = [sys.executable, "-m", "hicra_verl.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})


def test_tag(tokenizer: Path, tmp_path: Path) -> None:
    rows = tmp_path / "in.jsonl"
    rows.write_text(
        json.dumps({"uid": "a", "response": "But wait, x <b>y</b>"}) + "\n\n" + json.dumps({"token_ids": []}) + "\n"
    )
    out, page = tmp_path / "out.jsonl", tmp_path / "page.html"
    result = fresh_hicra("tag", "--tokenizer", tokenizer, rows, "-o", out, "--html", page)
    assert result.returncode == 0, result.stderr
    assert "planning fraction" in result.stdout
    assert "but wait" in result.stdout
    first, second = (json.loads(line) for line in out.read_text().splitlines())
    assert first["uid"] == "a"
    assert first["grams"][0][0] == "but wait"
    _, start, end = first["grams"][0]
    assert first["planning_mask"] == [int(start <= i < end) for i in range(len(first["token_ids"]))]
    assert second["planning_mask"] == []
    html = page.read_text(encoding="utf-8")
    assert '<mark class="backtracing" title="but wait">But wait</mark>' in html
    assert "&lt;b&gt;" in html
    assert not any(word in html for word in ("<script", "http:", "https:"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"response": "x"}\n{"response": "y', "in.jsonl, line 2: column 14: not valid JSON.*was the file cut off"),
        (b'{"response": "x"}\n{"response": "\xff"}\n', "in.jsonl, line 2: byte 0xff at position 14 is not valid UTF-8"),
        (b'{"text": "x"}\n', "in.jsonl, line 1: expected the field 'response'.*the row has 'text'"),
        (b'{"token_ids": [1.5]}\n', "in.jsonl, line 1, field 'token_ids': expected a list of integers"),
        (b"[1]\n", "in.jsonl, line 1: expected a JSON object, got a list"),
        (b"\n", "in.jsonl: holds no rows"),
    ],
)
def test_tag_bad_rows(tokenizer: Path, tmp_path: Path, content: bytes, message: str) -> None:
    rows, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows.write_bytes(content)
    out.write_text("an earlier result")
    result = hicra("tag", "--tokenizer", tokenizer, rows, "-o", out)
    assert result.exit_code == 2
    assert re.search(message, result.stderr), result.stderr
    assert out.read_text() == "an earlier result"


def test_tag_missing_files(tokenizer: Path, tmp_path: Path) -> None:
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"response": "x"}\n')
    for words, message in (
        (("--tokenizer", tokenizer, tmp_path / "gone.jsonl"), "gone.jsonl: no such file"),
        (("--tokenizer", tmp_path / "gone", rows), "cannot be loaded"),
        (("--tokenizer", tokenizer, "--grams", "papers", rows), "did you mean 'paper'"),
    ):
        result = hicra("tag", *words)
        assert result.exit_code == 2
        assert message in result.stderr


def test_square_brackets_are_printed(tokenizer: Path, tmp_path: Path) -> None:
    """They are no styles, in a file's name as in a gram."""
    assert "a[b].jsonl: no such file" in hicra("tag", "--tokenizer", tokenizer, tmp_path / "a[b].jsonl").stderr
    (tmp_path / "grams.json").write_bytes(file_with('{"text": "[note]", "function": "other"}'))
    rows = tmp_path / "in.jsonl"
    rows.write_text('{"response": "x [note] y"}\n')
    assert "[note]" in hicra("tag", "--tokenizer", tokenizer, "--grams", tmp_path / "grams.json", rows).stdout


def test_doctor_as_json() -> None:
    result = fresh_hicra("doctor", "--json")
    report = json.loads(result.stdout)
    failing = [check for check in report["checks"] if not check["ok"]]
    assert report["ok"], failing
    assert result.returncode == 0
    found = {f"{check['group']}: {check['name']}": check["found"] for check in report["checks"]}
    assert found["plugin: fresh Ray worker"] == "registered"
    assert sum(name.startswith("patches") and state == "in place" for name, state in found.items()) == 12
    assert found["grams: paper"].startswith("249 grams")


def test_doctor_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", "none")
    monkeypatch.delenv("VERL_PLATFORM", raising=False)  # this process chose the CPU; a fresh one has not
    result = fresh_hicra("doctor", "--json", "--no-ray")
    report = json.loads(result.stdout)
    assert result.returncode == 1
    assert not report["ok"]
    assert any("VERL_USE_EXTERNAL_PLUGINS=none" in check["remedy"] for check in report["checks"])
    assert "no such gram set" in fresh_hicra("doctor", "--no-ray", "--grams", "nothing").stdout


def test_a_placebo_flags_as_many_tokens(tmp_path: Path, math_responses: list[str]) -> None:
    """As many phrases of as many words, about as many flagged tokens, none of the set's own, and the same again."""
    from hicra_verl.mining.placebo import TOLERANCE, make_placebo

    tokenizer = real_tokenizer("qwen3")
    table = token_bytes(tokenizer)
    paper, texts = load_grams("paper"), math_responses[:200]
    placebo, shares = make_placebo(paper, texts, tokenizer, table, seed=1)
    assert placebo == make_placebo(paper, texts, tokenizer, table, seed=1)[0]
    assert [len(gram.text.split()) for gram in placebo] == [len(gram.text.split()) for gram in paper]
    assert not {gram.text for gram in placebo} & {gram.text for gram in paper}
    assert len({gram.text for gram in placebo}) == len(paper)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]

    def flagged_share(grams: GramSet) -> float:  # on the tokens themselves
        matcher = GramMatcher(grams, table)
        return sum(int(matcher.match(np.array([row])).planning_mask.sum()) for row in ids) / sum(map(len, ids))

    assert shares == {"placebo": flagged_share(placebo), "reference": flagged_share(paper)}
    assert abs(shares["placebo"] - shares["reference"]) <= TOLERANCE * shares["reference"]
    save_grams(placebo, tmp_path / "p.json")
    assert load_grams(tmp_path / "p.json") == placebo


def test_the_shipped_placebo_and_the_command(tmp_path: Path) -> None:
    assert len(load_grams(ROOT / "recipes" / "shared" / "placebo.json")) == 249
    assert "249 grams" in hicra("grams", "show").stdout
    (tmp_path / "c.jsonl").write_text('{"x": "a"}\n')
    wrong = hicra("grams", "placebo", tmp_path / "c.jsonl", "--tokenizer", "x", "-o", tmp_path / "p.json")
    assert wrong.exit_code == 2
    assert "c.jsonl: has the fields x, none of response" in wrong.stderr


def test_the_wheel_holds_the_recipes(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "source", ignore=shutil.ignore_patterns(".venv", ".git", "runs", "*.egg-info"))
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, tmp_path / "source"]
    subprocess.run([sys.executable, "-m", *map(str, words)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "hicra_verl/_recipes/qwen25_7b_hicra.sh" in names
    assert {"hicra_verl/evaluation/paper.json", "hicra_verl/grams/paper.json", "hicra_verl/py.typed"} <= names
    assert {
        "hicra_verl/mining/page.html",
        "hicra_verl/mining/judging.html",
        "hicra_verl/report/page/page.html",
    } <= names
