"""What the tests share: their own material, and where the optional real one is."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "examples" / "demo"), str(ROOT / "tests" / "support"), str(ROOT / "tests" / "e2e")]

FIXTURES = ROOT / "tests" / "fixtures"
OWN_TOKENIZERS = ("byte_level", "sentencepiece")
# Real rollouts and tokenizers are not part of the project; `.ci/run` and `make material` fetch what is fetchable.
DATA = Path(os.environ.get("HICRA_TEST_DATA", ROOT.parent / "shared" / "data"))
TOKENIZERS = Path(os.environ.get("HICRA_TEST_TOKENIZERS", ROOT / "runs" / "tokenizers"))

BEGAN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--e2e-minutes",
        type=float,
        metavar="N",
        help="skip, each by its name, the end-to-end tests that have not begun after N minutes",
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes = item.config.getoption("--e2e-minutes")
    if minutes is not None and item.get_closest_marker("e2e") and time.monotonic() - BEGAN > 60 * minutes:
        pytest.skip(f"{item.name}: not begun within {minutes:g} minutes (--e2e-minutes)")


@pytest.fixture(scope="session")
def math_responses() -> list[str]:
    """The responses of 100 MATH problems x 8 samples."""
    path = DATA / "rollouts" / "math_cot_100.jsonl"
    if not path.exists():
        pytest.skip(f"real rollouts absent: {path} (set HICRA_TEST_DATA to the folder that holds rollouts/)")
    return [json.loads(line)["response"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="session")
def own_rollouts() -> list[dict[str, Any]]:
    """Twelve made-up responses to four problems: ``uid``, ``problem``, ``ground_truth``, ``response``, ``correct``."""
    return [json.loads(line) for line in (FIXTURES / "responses.jsonl").read_text(encoding="utf-8").splitlines()]


def tokenizer_folder(name: str) -> Path:
    """The files of one of ``OWN_TOKENIZERS``, or of a real one by its short name; skips where those are absent."""
    folder = (FIXTURES / "tokenizers" if name in OWN_TOKENIZERS else TOKENIZERS) / name
    if not (folder / "tokenizer.json").exists():
        pytest.skip(f"tokenizer files absent: {folder} (`make material` fetches them)")
    return folder


def real_tokenizer(name: str) -> Any:
    """The tokenizer of ``tokenizer_folder``."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tokenizer_folder(name))
