"""Tables: four formats, and whatever stands in a cell stays what it is."""

from __future__ import annotations

import pytest

from hicra_verl.errors import HicraError
from hicra_verl.tables import FORMATS, Table, check_format, render

ODD = "a|b*c_d`e<i>[x](y)\\z\x1b[0m\u2028$&%#{}~^†‡±"
TABLE = Table("T", ("name", "kind", "%"), [("a", "x", "1.0"), ("a", "x", "2.0"), ("b", "x", "3")], ("n",), 2, 2)


def test_the_formats() -> None:
    assert render([TABLE], "markdown").split("\n") == [
        "**T**", "", "| name | kind | % |", "|---|---|---:|",
        "| a | x | 1.0 |", "| a | x | 2.0 |", "| b | x | 3 |", "", "n", "",
    ]  # fmt: skip
    assert "\\begin{tabular}{llr}" in render([TABLE], "latex")
    assert "name & kind & \\% \\\\" in render([TABLE], "latex")
    assert render([TABLE], "html").count("<td>") == 9


def test_text_says_once_what_rows_share(capsys: pytest.CaptureFixture[str]) -> None:
    TABLE.print()
    printed = capsys.readouterr().out
    assert (printed.count(" a "), printed.count(" x "), printed.count("├")) == (1, 2, 1)
    assert printed.rstrip().endswith("n")


@pytest.mark.parametrize("form", FORMATS[1:])
def test_nothing_in_a_cell_is_markup(form: str) -> None:
    found = render([Table(ODD, (ODD,), [(ODD,), ("[3cm]",), ("*",)], (ODD,))], form)
    assert not {"\x1b", "\u2028"} & set(found)
    forbidden = {"markdown": ["](", "|b", " <i>", "_d`"], "latex": ["\\z", " $&", "\n[3cm]", "\n*"], "html": ["<i>"]}
    assert not [text for text in forbidden[form] if text in found.replace("\\|b", "").replace("\\_d\\`", "")]


def test_wrong_formats() -> None:
    with pytest.raises(HicraError, match="did you mean 'latex'"):
        check_format("latx", to_file=False)
    with pytest.raises(HicraError, match="--output needs"):
        check_format("text", to_file=True)
