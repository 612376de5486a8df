"""What a run was trained with: versions, and the state of the folder it was started in, for `hicra report`."""

from __future__ import annotations

import platform
import subprocess
from typing import Any

from hicra_verl.doctor import PACKAGES, version_of

GIT_S = 10  # a repository on a slow disk must not hold up a run


def environment() -> dict[str, Any]:
    """``versions``: package to version. ``git``: the commit, "-dirty" if files differ from it; "" without git."""
    versions = {"python": platform.python_version()}
    versions |= {name: found for name in PACKAGES if (found := version_of(name)) is not None}
    return {"versions": versions, "git": _git_state()}


def _git_state() -> str:
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=GIT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
