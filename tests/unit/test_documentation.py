"""The pages say what the code says, and what they show runs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from hicra_verl import SELECTORS, SHAPERS, HicraConfig
from hicra_verl.documentation import commands_below, described, pages, table

PAGES = pages()
HAND_WRITTEN = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "recipes/*.md", "examples/*/*.md", "hicra_verl/*/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("path", PAGES)
def test_pages_made_from_the_code_are_up_to_date(path: str) -> None:
    page = ROOT / path
    assert page.exists(), f"{path} is missing; run `make docs`"
    assert page.read_text(encoding="utf-8") == PAGES[path], f"{path} is out of date; run `make docs`"


def test_every_setting_is_described() -> None:
    page = PAGES["docs/settings.md"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(HicraConfig):
        assert re.search(rf"^\| `{field.name}` \| .+ \| .* \| .+ \|$", page, re.MULTILINE)
        assert f"`algorithm.hicra.{field.name}`" in readme or field.name.endswith("_args")


@pytest.mark.parametrize("registry", [SELECTORS, SHAPERS])
def test_whatever_ships_says_where_it_is_from(registry: Any) -> None:
    registry.names()
    shipped = {name: each for name, each in registry.shipped.items() if each.__module__.startswith("hicra_verl.")}
    assert shipped.pop("all", True)  # nobody's idea
    for name, target in shipped.items():
        assert re.search(r"paper|arXiv \d{4}\.\d{5}|ours", target.__doc__ or ""), f"{name} names no source"
        assert f"## {name}\n" in PAGES[f"docs/{'selectors' if registry is SELECTORS else 'shapers'}.md"]


def test_a_docstring_is_read_as_it_is_written() -> None:
    doc = (
        "One line.\n\nAttributes:\n    first: goes on\n        below.\n    second: ``x``.\n\nRaises:\n    third: no.\n"
    )
    assert described(doc, "Attributes") == {"first": "goes on below.", "second": "`x`."}
    assert table(("a",), [("1 | 2\n3",)]) == "| a |\n| --- |\n| 1 \\| 2 3 |\n"


@pytest.mark.parametrize("path", HAND_WRITTEN, ids=str)
def test_links_to_files_lead_somewhere(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        if "://" not in link:
            assert (ROOT / path.parent / link).exists(), f"{path}: {link}"


def test_no_help_text_loses_words_to_markup() -> None:
    """A terminal takes ``[word]`` for a style, and shows nothing of it, unless it is escaped."""
    from typer.main import get_command

    from hicra_verl.cli import app

    for name, command in commands_below("hicra", get_command(app)):
        for text in (command.help, *(each.help for each in command.params)):
            lost = re.findall(r"(?<!\\)\[(?!/?(?:bold|italic|dim)\])[a-z_, ]+\]", text or "")
            assert not lost, f"{name}: {lost}; write \\["
