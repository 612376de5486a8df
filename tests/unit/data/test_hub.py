"""The hub: that the local one speaks huggingface_hub's protocol, and what `hicra data` makes of its repositories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import ROOT, tokenizer_folder
from fake_hub import FakeHub, write_awkward_hub

from hicra_verl.data.sources import SOURCES

CLIENT = """
import json, sys
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

hub, commit = "math-ai/amc23", sys.argv[1]
found = {}
found["snapshot"] = snapshot_download(hub, repo_type="dataset", allow_patterns=["*.parquet"])
found["pinned"] = snapshot_download(hub, repo_type="dataset", revision=commit)
found["file"] = hf_hub_download("math-ai/minervamath", "test.jsonl", repo_type="dataset")
found["sha"] = HfApi().dataset_info(hub).sha
found["many"] = len(list(HfApi().list_repo_tree("own/many", recursive=True, repo_type="dataset")))
found["sizes"] = {
    file.path: [file.size, file.lfs is not None] for file in HfApi().list_repo_tree(hub, repo_type="dataset")
}
for name, call in {
    "revision": lambda: snapshot_download(hub, repo_type="dataset", revision="0" * 40),
    "branch": lambda: snapshot_download(hub, repo_type="dataset", revision="other"),
    "absent": lambda: snapshot_download("own/absent", repo_type="dataset"),
    "entry": lambda: hf_hub_download(hub, "absent.json", repo_type="dataset"),
    "gated": lambda: snapshot_download("own/gated", repo_type="dataset"),
}.items():
    try:
        call()
    except (EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        found[name] = type(error).__name__
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    write_awkward_hub(folder, rows=40)
    for number in range(120):
        path = folder / "datasets" / "own" / "many" / f"part-{number % 3}" / f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    gated = folder / "datasets" / "own" / "gated"
    gated.mkdir()
    (gated / "test.jsonl").write_text("{}\n")
    (gated / ".gated").touch()
    return folder


@pytest.fixture
def hub(repositories: Path) -> Iterator[FakeHub]:
    with FakeHub(repositories) as hub:
        yield hub


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    """Every repository with its published number of rows; of DAPO's hundred repetitions one."""
    folder = tmp_path_factory.mktemp("whole")
    write_awkward_hub(folder, dapo_repeats=1)
    with FakeHub(folder) as hub:
        yield hub


@pytest.fixture
def own(repositories: Path, tmp_path: Path) -> Iterator[FakeHub]:
    """A copy that a test may change."""
    shutil.copytree(repositories, tmp_path / "hub")
    with FakeHub(tmp_path / "hub") as hub:
        yield hub


def hicra(hub: FakeHub, folder: Path, *words: str) -> tuple[int, str, str]:
    """`hicra data …` into ``folder/data``: exit code, output and errors, each on one line."""
    done = run(hub, folder / "home", sys.executable, "-m", "hicra_verl.cli", "data", *words, "-o", str(folder / "data"))
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(done.stdout.split()), " ".join(done.stderr.split())


def run(hub: FakeHub, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, whose only hub is this one."""
    environment = {**os.environ, **hub.environment(home), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)


def test_huggingface_hub_finds_what_the_real_hub_would_give(hub: FakeHub, tmp_path: Path) -> None:
    commit = hub.repository("datasets", "math-ai/amc23").commit
    done = run(hub, tmp_path, sys.executable, "-c", CLIENT, commit)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["sha"] == commit == "80815d37005feb82cd7f8fbc6901d5d3eff43057"
    assert [path.name for path in Path(found["snapshot"]).iterdir()] == ["test-00000-of-00001.parquet"] or found[
        "snapshot"
    ] == found["pinned"]
    assert {path.name for path in Path(found["pinned"]).iterdir()} >= {".gitattributes", "README.md"}
    served = hub.folder / "datasets" / "math-ai"
    assert Path(found["file"]).read_bytes() == (served / "minervamath" / "test.jsonl").read_bytes()
    parquet = "test-00000-of-00001.parquet"
    assert (Path(found["pinned"]) / parquet).read_bytes() == (served / "amc23" / parquet).read_bytes()
    assert found["sizes"][parquet] == [(served / "amc23" / parquet).stat().st_size, True]
    assert found["many"] == 123  # 120 files and 3 folders, in three pages
    assert found["revision"] == found["branch"] == "RevisionNotFoundError"
    assert found["absent"] == "RepositoryNotFoundError"
    assert found["entry"] == "RemoteEntryNotFoundError"
    assert found["gated"] == "GatedRepoError"


def test_a_tokenizer_comes_from_the_local_hub(hub: FakeHub, tmp_path: Path) -> None:
    shutil.copytree(tokenizer_folder("byte_level"), hub.folder / "models" / "Qwen" / "Qwen3-4B", dirs_exist_ok=True)
    code = "from transformers import AutoTokenizer as A; print(A.from_pretrained('Qwen/Qwen3-4B')('a b')['input_ids'])"
    done = run(hub, tmp_path, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[64, 289]"


# --- `hicra data` -----------------------------------------------------------------------------------------------------

TEXT = ["aime24", "aime25", "math500", "amc23", "minerva", "olympiad"]
VISION = ["mathvista", "mathvision", "mathverse", "emma"]


def written(folder: Path, name: str) -> tuple[int, dict[str, Any]]:
    """Rows of the file, and its account."""
    return pq.read_metadata(folder / f"{name}.parquet").num_rows, json.loads((folder / f"{name}.json").read_text())


def test_text_data_comes_whole_and_one_failure_loses_nothing_else(whole: FakeHub, tmp_path: Path) -> None:
    names = ["dapo_math_17k", "deepscaler", "hicra_math", *TEXT]
    code, out, errors = hicra(whole, tmp_path, *names)
    assert code == 2
    # This hub's DAPO file holds a hundredth of the published rows.
    assert "dapo_math_17k: 17,917 rows in data/dapo-math-17k.parquet, but 1,791,700 were published" in errors
    assert "1 of 9 failed: dapo_math_17k" in errors
    folder = tmp_path / "data" / "qwen"
    assert not (folder / "dapo_math_17k.parquet").exists()
    for name in names[1:]:
        rows, account = written(folder, name)
        assert account["rows"] == (SOURCES[name].rows or 1_000)
        assert account["problems"] == rows == account["rows"] - sum(account["left_out"].values())
        assert f"{name}.parquet: {rows:,} problems of {account['rows']:,} rows" in out
        assert account["revision"] == whole.repository("datasets", SOURCES[name].hub).commit
    for name in TEXT:
        assert written(folder, name)[0] == SOURCES[name].rows
    _, account = written(folder, "deepscaler")
    assert account["left_out"]["no answer"] == 6
    assert "6 no answer (the first: deepscaler.json, row 8: no answer)" in out
    assert account["cleared_of"] == TEXT

    code, out, _ = hicra(whole, tmp_path, "dapo_math_17k", "--any-count")
    assert code == 0
    # As others count this file: 17,398 texts to the letter, 17,188 with white space aside, 12 with two answers.
    rows, account = written(folder, "dapo_math_17k")
    assert (rows, account["rows"]) == (17_188, 17_917)
    assert account["left_out"] == {"repeated": 717, "repeated with another answer": 12}


def test_vision_data_comes_whole(whole: FakeHub, tmp_path: Path) -> None:
    code, out, errors = hicra(whole, tmp_path, "hicra_vl", *VISION, "--template", "vision")
    assert code == 0, errors
    for name in VISION:
        rows, account = written(tmp_path / "data" / "vision", name)
        assert rows == account["rows"] == SOURCES[name].rows
        assert not account["left_out"]
    assert written(tmp_path / "data" / "vision", "hicra_vl")[0] == 500
    # Into another folder, so that it is not compared with the benchmarks: 38,870 times 10,768 is for real runs.
    code, out, errors = hicra(whole, tmp_path / "apart", "virl39k", "--template", "vision")
    assert code == 0, errors
    rows, account = written(tmp_path / "apart" / "data" / "vision", "virl39k")
    assert (account["rows"], rows) == (38_870, 38_868)
    assert "cleared of: no benchmark, since none is written yet" in out


def test_a_benchmark_that_fails_keeps_back_what_is_cleared_of_it(own: FakeHub, tmp_path: Path) -> None:
    shutil.rmtree(own.folder / "datasets" / "MathArena" / "aime_2025")
    code, _, errors = hicra(own, tmp_path, "aime25", "amc23", "deepscaler", "--any-count")
    assert code == 2
    assert f"aime25: {own.url}/datasets/MathArena/aime_2025 is absent or private" in errors
    assert "deepscaler: not written, since it would not be cleared of aime25" in errors
    assert "2 of 3 failed: aime25, deepscaler" in errors
    assert {path.name for path in (tmp_path / "data" / "qwen").iterdir()} == {"amc23.json", "amc23.parquet"}


def test_a_folder_keeps_its_commits(own: FakeHub, tmp_path: Path) -> None:
    """MathVision has no pinned commit: the first fetch sets it for the folder."""
    hub = "MathLLMs/MathVision"
    old = own.repository("datasets", hub).commit
    words = ["mathvision", "--any-count", "--template", "vision"]
    assert hicra(own, tmp_path, *words)[0] == 0
    assert json.loads((tmp_path / "data" / "revisions.json").read_text()) == {"mathvision": old}
    file = "data/test-00000-of-00001-3532b8d3f1b4047a.parquet"
    table = pq.read_table(own.folder / "datasets" / hub / file)
    pq.write_table(table.slice(0, 30), tmp_path / "shorter.parquet")
    new = own.push("datasets", hub, {file: (tmp_path / "shorter.parquet").read_bytes()})
    assert new != old

    code, out, _ = hicra(own, tmp_path, "check", "mathvision")
    assert code == 0
    assert old[:12] in out
    assert f"{new[:12]}, with other content" in out.replace(" │ ", " ")
    assert hicra(own, tmp_path, *words)[0] == 0
    assert written(tmp_path / "data" / "vision", "mathvision")[1]["revision"] == old
    assert hicra(own, tmp_path, *words, "amc23", "--revision", "mathvision=main", "--any-count")[0] == 0
    rows, account = written(tmp_path / "data" / "vision", "mathvision")
    assert (rows, account["revision"]) == (30, new)
    assert json.loads((tmp_path / "data" / "revisions.json").read_text())["mathvision"] == new


def test_a_pinned_commit_is_fetched_although_the_hub_moved_on(own: FakeHub, tmp_path: Path) -> None:
    hub = "math-ai/minervamath"
    own.push("datasets", hub, {"test.jsonl": b'{"question": "Q", "answer": "1"}\n'})
    assert hicra(own, tmp_path, "minerva", "--any-count")[0] == 0
    rows, account = written(tmp_path / "data" / "qwen", "minerva")
    assert (rows, account["revision"]) == (40, SOURCES["minerva"].revision)
    code, _, errors = hicra(own, tmp_path, "minerva", "--revision", "0" * 40)
    assert code == 2
    assert f"no revision {'0' * 40}. Take its newest (--revision minerva=main)" in errors


# --- `hicra data check` -----------------------------------------------------------------------------------------------


def test_check_asks_for_listings_alone(whole: FakeHub, tmp_path: Path) -> None:
    whole.requests.clear()
    code, out, errors = hicra(whole, tmp_path, "check")
    assert code == 0, errors
    assert f"{len(SOURCES)} of {len(SOURCES)} data sets can be read" in out
    assert whole.requests
    assert not [request for request in whole.requests if "/resolve/" in request or "/cdn/" in request]
    assert not (tmp_path / "data").exists()
    for source in filter(lambda source: source.hub, SOURCES.values()):
        found = whole.repository("datasets", source.hub)
        assert found.commit[:12] in out
        read = source.select(list(found.files()))
        assert read
        assert all(path in out for path in [*read, *source.extra_files])
    # Other splits and formats are there, and are not read.
    for other in ("testmini-00000", "testmini_text_only", "data/test-00000-of-00002"):
        assert other not in out.replace("testmini-00000-of-00001-725687bf7a18d64b", "")


def test_check_finds_what_would_fail(own: FakeHub, tmp_path: Path) -> None:
    repository = own.folder / "datasets" / "math-ai" / "amc23"
    (repository / "test-00000-of-00001.parquet").rename(repository / "amc.parquet")
    (own.folder / "datasets" / "luckychao" / "EMMA" / ".gated").touch()
    (own.folder / "datasets" / "TIGER-Lab" / "ViRL39K" / "images.zip").unlink()
    shutil.rmtree(own.folder / "datasets" / "HuggingFaceH4")
    names = ["amc23", "emma", "virl39k", "aime24", "aime25"]
    code, out, errors = hicra(own, tmp_path, "check", *names)
    assert code == 2
    assert "amc23: math-ai/amc23 at 80815d37005f holds nothing that matches test-*.parquet, but" in errors
    assert "name an older commit (--revision amc23=COMMIT), or download it and give its file (--from FILE)" in errors
    assert "emma: luckychao/EMMA is gated. Accept its terms at" in errors
    assert "virl39k: TIGER-Lab/ViRL39K at 812ec617dea4 holds nothing that matches images.zip" in errors
    assert "aime24:" in errors
    assert "is absent or private" in errors
    assert "4 of 5 failed: amc23, emma, virl39k, aime24" in errors
    assert "1 of 5 data sets can be read" in out
    code, _, errors = hicra(own, tmp_path, "emma", "--template", "vision", "--any-count")
    assert code == 2
    assert "is gated" in errors


@pytest.mark.parametrize("words", [["aime24"], ["check", "aime24"]])
def test_a_hub_out_of_reach(words: list[str], own: FakeHub, tmp_path: Path) -> None:
    own.close()
    code, _, errors = hicra(own, tmp_path, *words)
    assert code == 2
    assert f"aime24: HuggingFaceH4/aime_2024 cannot be fetched from {own.url}" in errors
    assert "or give a local copy (--from FOLDER)" in errors
