"""Tables with tabs that people fill in with a spreadsheet, and that come back from it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hicra_verl.files import writing
from hicra_verl.mining.judging import JudgingError, Phrase
from hicra_verl.records import short

_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")  # what a spreadsheet would run; the apostrophe makes it text


def escaped(cell: str) -> str:
    """A cell as it is written: on one line, and never a formula."""
    cell = " ".join(cell.split())
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescaped(cell: str) -> str:
    """What ``escaped`` was given, but for its white space."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a TSV; see ``files.writing`` for what can go wrong."""
    with writing(path) as stream:
        for row in (columns, *rows):
            stream.write("\t".join(map(escaped, row)) + "\n")


def read_table(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, cells by column) of a TSV; cells that a row lacks are empty, empty rows are skipped.

    Args:
        path: the file, in UTF-8, or in UTF-16 with its mark, as spreadsheets save "Unicode text".
        needed: the columns that it must have.

    Raises:
        JudgingError: if it is no such table.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise JudgingError("not UTF-8", file=path, line=line, remedy="save the file as UTF-8") from error
    head, *lines = [line.removesuffix("\r") for line in text.split("\n")]
    columns = [_unquoted(cell).strip() for cell in head.split("\t")]
    if not set(needed) <= set(columns):
        raise JudgingError(
            f"expected the columns {' and '.join(needed)}, separated by tabs; it has {short(head)}",
            file=path,
            line=1,
            remedy="keep the first line as it was",
        )
    for number, row in enumerate(lines, 2):
        if row.strip():
            cells = row.split("\t")
            yield number, dict(zip(columns, [*cells, *[""] * len(columns)], strict=False))


def _unquoted(cell: str) -> str:
    """Spreadsheets put quotation marks about a cell that holds one."""
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell


def write_sheet(path: Path, phrases: Sequence[Phrase], judged: dict[str, str], column: str) -> None:
    """A TSV with a row a phrase: its name, its text, the column to fill in, a remark, and its uses.

    Replaces the file in one move; take over what it holds (``read_sheet``) before.
    """

    def row(phrase: Phrase) -> list[str]:
        uses = " ¶ ".join(f"{before}[{text}]{after}" for before, text, after in phrase.contexts)
        return [phrase.name, phrase.text, judged.get(phrase.name, ""), phrase.remark, uses]

    write_table(path, ["number", "phrase", column, "remark", "uses"], map(row, phrases))


def write_new_sheet(path: Path, phrases: Sequence[Phrase], judged: dict[str, str], column: str) -> None:
    """``write_sheet``, where there is no file yet.

    Raises:
        JudgingError: if there is: somebody may have filled it in.
    """
    if path.exists():
        remedy = "--from-sheet takes what is filled in, or give another name"
        raise JudgingError("is there already", file=path, remedy=remedy)
    write_sheet(path, phrases, judged, column)


def read_sheet(path: Path, phrases: Sequence[Phrase], allowed: Sequence[str], column: str) -> dict[str, str]:
    """The judgements of a filled-in sheet, by the phrases' names; rows left empty have none.

    A sheet may lack the column ``phrase``; where it is there, it must agree.

    Raises:
        JudgingError: naming the line and field that cannot be used.
    """
    texts = {phrase.name: " ".join(phrase.text.split()) for phrase in phrases}
    found: dict[str, str] = {}
    for line, row in read_table(path, ("number", column)):
        name, value = unescaped(_unquoted(row["number"])).strip(), _unquoted(row[column]).strip().lower()
        if name not in texts:
            raise JudgingError(f"{short(name)} is no item of this sample", file=path, line=line, field="number")
        shown = row.get("phrase", texts[name])
        if texts[name] not in (unescaped(shown), unescaped(_unquoted(shown))):
            problem = f"number {name} is {short(texts[name])}, not {short(shown)}; is it another sheet?"
            raise JudgingError(problem, file=path, line=line, field="phrase")
        if value and value not in allowed:
            problem = f"expected one of {', '.join(allowed)}, got {short(value)}"
            raise JudgingError(problem, file=path, line=line, field=column)
        if value and found.setdefault(name, value) != value:
            problem = f"number {name} is {value} here, but {found[name]} in a line above"
            raise JudgingError(problem, file=path, line=line, field=column, remedy="remove one of the two lines")
    return found
