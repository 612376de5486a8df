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

import pytest
from conftest import ROOT, TOKENIZERS
from fake_hub import FakeHub, write_awkward_hub

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
    if not (TOKENIZERS / "qwen3" / "tokenizer.json").exists():
        pytest.skip(f"tokenizer files absent: {TOKENIZERS / 'qwen3'} (`make material` fetches them)")
    shutil.copytree(TOKENIZERS / "qwen3", hub.folder / "models" / "Qwen" / "Qwen3-4B", dirs_exist_ok=True)
    code = "from transformers import AutoTokenizer as A; print(A.from_pretrained('Qwen/Qwen3-4B')('a b')['input_ids'])"
    done = run(hub, tmp_path, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[64, 293]"
