"""What a run was started with, as far as its folder says: command, settings, versions; keys and passwords hidden."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hicra_verl.errors import HicraError
from hicra_verl.grams.gramset import GramSet
from hicra_verl.records import read_json
from hicra_verl.redact import redact
from hicra_verl.training.initial import FILE as INITIAL

COMMAND_CHARACTERS = 100_000  # of a recorded command
VALUE_CHARACTERS = 2_000
CONFIGURATIONS = ("config.yaml", ".hydra/config.yaml")

_SETTING = re.compile(r"[+~]{0,2}([A-Za-z_][\w.@/-]*)=(.*)", re.DOTALL)


def folder_of(path: Path) -> Path:
    """A run's folder, given the folder or a file in it."""
    return path if path.is_dir() else path.parent


def recorded_files(path: Path) -> list[Path]:
    """The files that say how a run was started; they may be missing. No output may replace one."""
    folder = folder_of(path)
    names = ("command.txt", *CONFIGURATIONS, INITIAL, f"checkpoints/{INITIAL}")
    return [folder / name for name in names]


def recorded_command(path: Path) -> str:
    """The commands of a run as its folder keeps them, without keys and passwords; or ""."""
    command = folder_of(path) / "command.txt"
    if not command.is_file():
        return ""
    with command.open(encoding="utf-8", errors="replace") as stream:
        return redact(stream.read(COMMAND_CHARACTERS)).strip()


def settings_of(command: str) -> dict[str, str]:
    """The settings (``key=value``) of a command, or of several; of one that is given twice, the last."""
    lines = [line for line in command.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    found = {}
    for line in lines:
        try:
            words = shlex.split(line)
        except ValueError:  # a quotation that has no end
            words = line.split()
        for word in words:
            setting = _SETTING.fullmatch(word)
            if setting is not None:
                found[setting[1]] = setting[2][:VALUE_CHARACTERS]
    return found


def configuration(path: Path, counted: GramSet, gaps: list[str]) -> dict[str, Any]:
    """One run's part of the piece ``configuration``.

    Args:
        path: the run's.
        counted: the gram set that the report counts.
        gaps: where to note a file that cannot be read.
    """
    command = recorded_command(path)
    settings: dict[str, Any] = {**_saved(path, gaps), **settings_of(command)}
    initial = _initial(path, gaps)
    versions = initial.get("versions")
    own = initial.get("grams")
    return {
        "command": command,
        "settings": settings,
        "versions": {str(name): str(one) for name, one in versions.items()} if isinstance(versions, dict) else {},
        "git": redact(str(initial.get("git") or "")),
        "grams": {
            "name": counted.name,
            "sha256": counted.sha256,
            "run": own if isinstance(own, str) else None,
        },
    }


def _initial(path: Path, gaps: list[str]) -> dict[str, Any]:
    for file in (folder_of(path) / INITIAL, folder_of(path) / "checkpoints" / INITIAL):
        if file.is_file():
            try:
                return read_json(file, "remove it to leave it out")
            except HicraError as error:
                gaps.append(f"{file.name}: {error.problem}")
    return {}


def _saved(path: Path, gaps: list[str]) -> dict[str, Any]:
    """The settings of a configuration that Hydra saved with the run."""
    import yaml

    for name in CONFIGURATIONS:
        file = folder_of(path) / name
        if not file.is_file():
            continue
        try:
            value = yaml.safe_load(file.read_text(encoding="utf-8", errors="replace"))
        except (yaml.YAMLError, RecursionError) as error:
            gaps.append(f"{name}: not readable YAML ({str(error).splitlines()[0]})")
            continue
        return dict(_flat("", value)) if isinstance(value, Mapping) else {}
    return {}


def _flat(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [pair for name, one in value.items() for pair in _flat(f"{prefix}.{name}" if prefix else str(name), one)]
    shown = value if isinstance(value, bool | int | float | None) else str(value)
    if not isinstance(shown, str):
        shown = "null" if shown is None else json.dumps(shown)
    hidden = redact(f"{prefix}={shown}")[:VALUE_CHARACTERS]
    return [(prefix, hidden.partition("=")[2])]


def token_limit(path: Path) -> int | None:
    """The longest response, in tokens, that a run's settings allow; None where they do not say."""
    settings = {**_saved(path, []), **settings_of(recorded_command(path))}
    said = str(settings.get("data.max_response_length", ""))
    return int(said) if re.fullmatch(r"[0-9]{1,9}", said) else None
