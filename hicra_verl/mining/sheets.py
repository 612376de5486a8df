"""Sheets that people fill in with a spreadsheet, and that come back from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hicra_verl.mining.judging import JudgingError, Phrase
from hicra_verl.records import short
from hicra_verl.spreadsheets import read_table, unescaped, unquoted, write_table


def write_sheet(path: Path, phrases: Sequence[Phrase], judged: dict[str, str], column: str, new: bool = False) -> None:
    """A TSV with a row a phrase: its name, its text, the column to fill in, a remark, and its uses.

    Replaces the file in one move; take over what it holds (``read_sheet``) before.

    Raises:
        JudgingError: if it has to be ``new``, but is there: somebody may have filled it in.
    """
    if new and path.exists():
        remedy = "--from-sheet takes what is filled in, or give another name"
        raise JudgingError("is there already", file=path, remedy=remedy)

    def row(phrase: Phrase) -> list[str]:
        uses = " ¶ ".join(f"{before}[{text}]{after}" for before, text, after in phrase.contexts)
        return [phrase.name, phrase.text, judged.get(phrase.name, ""), phrase.remark, uses]

    write_table(path, ["number", "phrase", column, "remark", "uses"], map(row, phrases))


def read_sheet(path: Path, phrases: Sequence[Phrase], allowed: Sequence[str], column: str) -> dict[str, str]:
    """The judgements of a filled-in sheet, by the phrases' names; rows left empty have none.

    A sheet may lack the column ``phrase``; where it is there, it must agree.

    Raises:
        JudgingError: naming the line and field that cannot be used.
        InputError: if it is no table with these columns.
    """
    texts = {phrase.name: " ".join(phrase.text.split()) for phrase in phrases}
    found: dict[str, str] = {}
    for line, row in read_table(path, ("number", column)):
        name, value = unescaped(unquoted(row["number"])).strip(), unquoted(row[column]).strip().lower()
        if name not in texts:
            raise JudgingError(f"{short(name)} is no item of this sample", file=path, line=line, field="number")
        shown = row.get("phrase", texts[name])
        if texts[name] not in (unescaped(shown), unescaped(unquoted(shown))):
            problem = f"number {name} is {short(texts[name])}, not {short(shown)}; is it another sheet?"
            raise JudgingError(problem, file=path, line=line, field="phrase")
        if value and value not in allowed:
            problem = f"expected one of {', '.join(allowed)}, got {short(value)}"
            raise JudgingError(problem, file=path, line=line, field=column)
        if value and found.setdefault(name, value) != value:
            problem = f"number {name} is {value} here, but {found[name]} in a line above"
            raise JudgingError(problem, file=path, line=line, field=column, remedy="remove one of the two lines")
    return found
