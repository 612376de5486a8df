"""The pages for guests, followed word for word: their examples run, and their diffs apply and pass their tests."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, real_tokenizer

from hicra_verl import HicraConfig, RolloutBatch

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TASKS = {title: text for title, _, text in (part.partition("\n") for part in CONTRIBUTING.split("\n## "))}
WITH_A_DIFF = [title for title, text in TASKS.items() if "```diff" in text]


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def file_of(text: str, name: str) -> str:
    """The blocks of a page that say they are a file's, one after the other."""
    return "\n\n".join(block for block in blocks(text, r"\w+") if block.startswith(f"# {name}"))


def in_a_process(folder: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_example_of_the_readme(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import transformers

    tokenizer = real_tokenizer("byte_level")
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda name: tokenizer)
    (example,) = (block for block in blocks(README, "python") if "AutoTokenizer" in block)
    assert len(example.strip().splitlines()) <= 11
    found: dict[str, Any] = {}
    exec(example, found)
    assert "-0.8000" in capsys.readouterr().out
    assert found["mask"].any()
    assert not found["mask"].all()


@pytest.mark.parametrize("page", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_a_guests_file(page: str, tmp_path: Path) -> None:
    (tmp_path / "guest.py").write_text(file_of(page, "guest.py"))
    tests = ["test_guest.py"] if page is README else ["test_guest.py", "test_warmup.py"]  # README has no shaper
    for name in tests:
        (tmp_path / name).write_text(file_of(CONTRIBUTING, name))
    assert f"{len(tests)} passed" in in_a_process(
        tmp_path,
        "-c",
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; "
        f"import pytest; sys.exit(pytest.main(['-q', *{tests}]))",
    )
    arguments = re.findall(r"\+algorithm\.hicra\.selector_args\.(\w+)=", page)
    assert arguments == ["at_least"]


def test_the_shaper_and_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "guest.py").write_text(file_of(CONTRIBUTING, "guest.py"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "guest", raising=False)
    guest = importlib.import_module("guest")
    own = torch.ones(1, 1, dtype=torch.bool)
    batch = RolloutBatch(torch.zeros(1, 1, dtype=torch.long), own, own)
    settings = {"shaping": "guest:Warmup", "shaping_args": {"batches": 2}, "alpha": 0.5}
    for seen, expected in ((0, 1.25), (1, 1.5), (5, 1.5)):
        _, shaper = HicraConfig.from_mapping(settings).extensions()
        shaper.call.load_state_dict({"seen": seen})  # type: ignore[attr-defined]
        assert shaper.call(torch.ones(1, 1), own, batch).tolist() == [[expected]]
        assert shaper.call.state_dict() == {"seen": seen + 1}  # type: ignore[attr-defined]
        assert shaper.call.metrics() == {"alpha": expected - 1}  # type: ignore[attr-defined]
    groups = tomllib.loads(file_of(CONTRIBUTING, "pyproject.toml"))["project"]["entry-points"]
    assert set(groups) == {"hicra_verl.selectors", "hicra_verl.shapers"}
    for entries in groups.values():
        for path in entries.values():
            assert callable(getattr(guest, path.removeprefix("guest:")))
    sys.modules.pop("guest")


@pytest.mark.parametrize("task", WITH_A_DIFF)
def test_a_task_as_written(task: str, tmp_path: Path) -> None:
    """The diff applies to the tree as it is, and the commands below it pass."""
    ignored = shutil.ignore_patterns(".venv", ".git", "runs", "outputs", "*.egg-info", "__pycache__", ".*_cache")
    tree = shutil.copytree(ROOT, tmp_path / "tree", ignore=ignored)
    (tmp_path / "a.diff").write_text("".join(blocks(TASKS[task], "diff")))
    subprocess.run(["git", "apply", "--directory", str(tree.name), "a.diff"], cwd=tmp_path, check=True)
    if "(made up)" in TASKS[task]:
        return  # there is no such verl to run it with
    (commands,) = blocks(TASKS[task], "bash")
    for line in commands.splitlines():
        command = line.split("  #")[0].strip()
        if command == "make docs":
            in_a_process(tree, "-m", "hicra_verl.documentation")
        else:
            assert command.startswith(".venv/bin/python ")
            assert " passed" in in_a_process(tree, *shlex.split(command)[1:])
    in_a_process(tree, "-m", "pytest", "-q", "tests/unit/test_documentation.py")
