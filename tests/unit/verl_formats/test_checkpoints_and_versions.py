"""verl's checkpoint folders, damaged in every way, and the one table of its versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT

from hicra_verl.records import InputError
from hicra_verl.training import last_row
from hicra_verl.verl_formats import versions
from hicra_verl.verl_formats.checkpoints import TRACKER_FILE, last_saved_step, remove_older, tracked_step, whole_number


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("12", 12), ("²", None), ("٣", None), ("-1", None), ("", None), ("9" * 5000, None)]
)
def test_plain_digits_only(text: str, number: int | None) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("tracker", [b"", b"\xff\xfe", "²".encode(), b"9" * 5000, b"7", b"x"])
def test_a_damaged_tracker_is_mended_from_what_is_whole(tmp_path: Path, tracker: bytes) -> None:
    (tmp_path / TRACKER_FILE).write_bytes(tracker)
    assert tracked_step(tmp_path) is None
    for name in ("global_step_2", "global_step_10", "global_step_12.bak", "global_step_²"):
        (tmp_path / name / "actor").mkdir(parents=True)
        (tmp_path / name / "data.pt").touch()
    assert last_saved_step(tmp_path) == 10
    assert tracked_step(tmp_path) == 10
    assert remove_older(tmp_path, 10, 1) == [2]
    assert (tmp_path / "global_step_12.bak" / "actor").is_dir()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"step": "1", "data": {}}', '{"step": 1}', '{"step": 1, "data": {"a": "x"}}', "[" * 99999],
)
def test_a_damaged_last_row_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / last_row.FILE).write_text(content)
    with pytest.raises(InputError, match=r"last_row\.json.*move it away"):
        last_row.unlogged(tmp_path)


def test_one_table_of_versions() -> None:
    """No other module of the package decides by a version of its own; comments may say whose line they mean."""
    assert versions.supported(None) == versions.supported("0.0.1") == versions.TESTED[-1]
    assert versions.supported(versions.TESTED[0]) == versions.TESTED[0]
    assert set(versions.FLASH_ATTENTION_EXTRA) == set(versions.TESTED)
    quoted = re.compile("|".join(rf"[\"']{re.escape(version)}[\"']" for version in versions.TESTED))
    holders = [path.name for path in (ROOT / "hicra_verl").rglob("*.py") if quoted.search(path.read_text())]
    assert holders == ["versions.py"]
