"""A guest's package adds a selector and a stateful shaper to a real run; nothing here is changed for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import runs

pytestmark = [pytest.mark.e2e, pytest.mark.trainers, pytest.mark.timeout(1500)]
HERE = Path(__file__).parent


def environment_with_the_guest(folder: Path) -> Path:
    """An environment of its own, on top of this one, into which the guest's package is installed; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "this.pth").write_text(f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n")
    source = shutil.copytree(HERE / "guest", folder / "source")
    install = [
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        str(source),
    ]
    subprocess.run([sys.executable, *install], check=True)
    return python


def test_a_guest_trains_and_is_resumed(tmp_path: Path) -> None:
    world = runs.make_model(tmp_path / "world")
    python = environment_with_the_guest(tmp_path / "environment")
    checkpoints = tmp_path / "checkpoints"
    settings = [
        "algorithm.adv_estimator=hicra",
        "+hicra=default",
        "algorithm.hicra.selector=guest:long_tokens",
        "algorithm.hicra.selector_args={at_least: 2}",
        "algorithm.hicra.shaping=warmup",
        "algorithm.hicra.shaping_args={steps: 8}",
        "algorithm.hicra.alpha=0.4",
        "algorithm.hicra.allow_no_match=true",
        f"reward.custom_reward_function.path={HERE / 'rewards.py'}",
        f"trainer.default_local_dir={checkpoints}",
        "trainer.resume_mode=auto",
        "trainer.save_freq=1",
    ]
    command = [str(python), "-m", "verl.trainer.main_ppo", *runs.overrides(world, 4, *settings)]

    def two_steps_are_logged() -> bool:
        file = tmp_path / "first" / "metrics.jsonl"
        return file.exists() and file.read_bytes().count(b"\n") >= 2

    _, log, begun = runs.run(command, tmp_path / "first", kill_when=two_steps_are_logged)
    assert [row["step"] for row in begun][:2] == [1, 2], log[-3000:]
    assert "selector guest:long_tokens, shaping warmup" in log
    code, log, rest = runs.run(command, tmp_path / "second")
    assert code == 0, log[-3000:]
    assert rest[0]["step"] >= 3
    assert rest[-1]["step"] == 4
    for row in [*begun, *rest]:
        data, step = row["data"], row["step"]
        assert data["hicra/shaper/seen"] == step, "the state goes on over the kill"
        assert data["hicra/shaper/alpha"] == pytest.approx(0.4 * step / 8)
        assert 0 < data["hicra/selected_fraction"] < 1
        assert data["hicra/selected_fraction"] > data["hicra/planning_fraction"]
    assert any(row["data"]["hicra/tokens_changed"] > 0 for row in begun)
