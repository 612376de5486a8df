"""What an answer says, and tables that come back from a spreadsheet as they went."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hicra_verl.mining.judging import Phrase
from hicra_verl.mining.rating import read_rating
from hicra_verl.mining.sheets import read_sheet, write_sheet
from hicra_verl.spreadsheets import escaped, read_table, unescaped, write_table


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("Yes, it steers the reasoning; there is no computation.", "yes"),
        ("yes it does", "yes"),
        ("No.", "no"),
        ("**No**", "no"),
        ("No it does not", "no"),
        ("Hm, no", "no"),
        ("no - it names content", "no"),
        ("No, it does not; a yes would be wrong", "no"),
        ("No doubt: yes.", "yes"),
        ("No computation is done here, so the phrase steers: yes", "yes"),
        ("Let me see. There is no number in it, and it proposes a plan.\n\nYes", "yes"),
        ("There is a plan, yes, at first sight. The answer is **no**.", "no"),
        ("Final answer: **Yes**", "yes"),
        ("<think>no, no, yes</think>\nNo.", "no"),
        ("It steers, yes, of course", "yes"),
        ("Yes and no.", None),
        ("yes or no", None),
        ("It is a plan (yes), not a step (no)", None),
        ("It carries no weight though yes it could", None),
        ("I would not say yes.", None),
        ('I would not say "yes".', None),
        ("This isn't a yes", None),
        ("The answer is not yes", None),
        ("It is not true that the answer is yes.", None),
        ("It does not compute, so the answer is yes.", "yes"),
        ("Answer: not no", None),
        ("Yes would be wrong here.", None),
        ("No doubt it steers: it does.", None),
        ("There is no computation here; the phrase proposes a plan.", None),
        ("<think>yes yes", None),
        ("<think>no</think>yes<think>no", "yes"),
        ("I cannot say.", None),
        ("know yesterday", None),
        ("", None),
    ],
)
def test_what_an_answer_says(text: str, rating: str | None) -> None:
    assert read_rating(text) == rating


@pytest.mark.parametrize(
    "text",
    ["answer" + "\n" * 100_000 + "x", "!" * 100_000 + "x", "answer yes no " * 50_000, "a" * 10**6 + ". answer: yes"],
)
def test_a_long_answer_is_read_in_time(text: str) -> None:
    began = time.process_time()
    read_rating(text)
    assert time.process_time() - began < 1


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.text("'=+-@＝ ab\t\n", max_size=6) | CELLS)
def test_a_cell_comes_back_and_is_never_a_formula(cell: str) -> None:
    written = escaped(cell)
    assert written[:1] not in ("=", "+", "-", "@", "＝", "＋", "－", "＠")
    assert "\t" not in written
    assert unescaped(written) == " ".join(cell.split())


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_a_table_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("t") / "t.tsv"
    rows = [("x" + one, other) for one, other in rows]
    write_table(path, ["a", "b"], rows)
    found = [(unescaped(row["a"]), unescaped(row["b"])) for _, row in read_table(path, ("a", "b"))]
    assert found == [(" ".join(one.split()), " ".join(other.split())) for one, other in rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_sheet_comes_back(encoding: str, tmp_path: Path) -> None:
    texts = ["=1+1", "'=quoted", "-we can", "@x", 'say "so"', "→ é"]
    phrases = [Phrase(text, text, "", []) for text in texts]
    judged = dict.fromkeys(texts, "yes")
    write_sheet(tmp_path / "s.tsv", phrases, judged, "rating")
    text = (tmp_path / "s.tsv").read_text(encoding="utf-8")
    (tmp_path / "s.tsv").write_bytes(text.encode(encoding))
    assert read_sheet(tmp_path / "s.tsv", phrases, ("yes", "no"), "rating") == judged
