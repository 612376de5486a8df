"""Bad input and faults on the command line: a message, the right exit code, nothing lost, never a traceback."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import resource
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import cases
import pytest
from bad_input import Case
from typer.testing import CliRunner

from hicra_verl.cli import app

SECONDS = 10  # of one case


def all_cases() -> list[object]:
    """Every case of every module of ``cases``."""
    found = []
    for module in pkgutil.iter_modules(cases.__path__):
        for case in importlib.import_module(f"cases.{module.name}").CASES:
            found.append(pytest.param(case, id=f"{module.name}: {case.name}"))
    return found


DEVICES = {Path("/dev/null"): (1, 3), Path("/dev/full"): (1, 7)}


@pytest.fixture(autouse=True)
def _devices_stay() -> Iterator[None]:
    """A command that replaces a device, run as root, would leave the machine without it."""
    yield
    for path, numbers in DEVICES.items():
        if not stat.S_ISCHR(path.stat().st_mode):
            path.unlink()
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(*numbers))
            path.chmod(0o666)
            pytest.fail(f"{path} was replaced by a file; it has been made again")


@pytest.mark.parametrize("case", all_cases())
def test_bad_input(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in case.files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    for name, value in case.env.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    undo = case.prepare(tmp_path) if case.prepare else None
    before = {name: (tmp_path / name).read_bytes() for name in case.kept}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    began = time.process_time()  # not the clock's: the machine may be busy
    try:
        if case.file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (case.file_limit, limits[1]))
        words = [word.replace("{tmp}", str(tmp_path)) for word in case.words]
        result = CliRunner().invoke(app, words, input=case.stdin)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if undo is not None:
            undo()
    seconds = time.process_time() - began
    printed = re.sub(r"\s+", " ", result.output)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in printed
    assert result.exit_code == case.code, printed
    for text in case.says:
        assert text in printed
    for name, content in before.items():
        assert (tmp_path / name).read_bytes() == content, f"{name} was changed"
    for name in case.absent:
        assert not (tmp_path / name).exists(), f"{name} is there"
    if case.after is not None:
        case.after(tmp_path, printed)
    assert seconds < SECONDS
