"""Runs as small as they get, for the cases of `report` and `dynamics`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

METRICS = '{"step": 1, "data": {"critic/score/mean": 0.5}}\n{"step": 2, "data": {"critic/score/mean": 0.75}}\n'


def logged(*data: str) -> str:
    """A metrics file with these data, JSON as it stands, at steps 1, 2, …"""
    return "".join(f'{{"step": {step}, "data": {one}}}\n' for step, one in enumerate(data, 1))


def dump(*rows: dict[str, Any]) -> str:
    """A rollout dump; what a row leaves out is filled in."""
    filled = [{"input": "p", "output": "so we can see that", "gts": "7", "score": 1.0, **row} for row in rows]
    return "".join(json.dumps(row) + "\n" for row in filled)


def trace(**changes: Any) -> str:
    """A response kept token by token."""
    row = {
        "group": "g", "score": 1.0, "tokens": ["so", " x"], "function": ["deduction", None],
        "entropy_nats": [1.0, 0.2], "advantage": [1.2, -1.0],
    }  # fmt: skip
    return json.dumps({**row, **changes}) + "\n"


RUN = {"run/metrics.jsonl": METRICS, "run/rollouts/1.jsonl": dump({}, {"score": 0.0}), "run/rollouts/2.jsonl": dump({})}


def link(name: str, target: str) -> Callable[[Path], None]:
    """Make a symbolic link in the case's folder."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, folder / name)

    return make


def without(*packages: str, unload: str) -> Callable[[Path], Callable[[], None]]:
    """Make packages seem not installed, and forget the modules of ours that hold them already."""

    def hide(_: Path) -> Callable[[], None]:
        before = dict(sys.modules)
        for name in list(sys.modules):
            if name.startswith(unload) or name.partition(".")[0] in packages:
                del sys.modules[name]
        sys.modules.update(dict.fromkeys(packages))  # type: ignore[arg-type]

        def undo() -> None:
            sys.modules.clear()
            sys.modules.update(before)

        return undo

    return hide
