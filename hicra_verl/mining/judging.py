"""A person judges phrases: a page on this machine alone, one key a judgement, every judgement saved at once."""

from __future__ import annotations

import csv
import html
import json
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

from hicra_verl.append_log import read_log
from hicra_verl.errors import HicraError
from hicra_verl.mining.contexts import Context

LOOPBACK = "127.0.0.1"
MAX_REQUEST_BYTES = 10_000


class JudgingError(HicraError):
    """Judgements that cannot be read; the message names the file, the line and the remedy."""


@dataclass(frozen=True)
class Choice:
    """One possible judgement: the key that makes it, what is saved, and what the page says."""

    key: str
    value: str
    label: str


@dataclass(frozen=True)
class Phrase:
    """What is judged: its name in the saved judgements, its text, a remark, and some of its uses."""

    name: str
    text: str
    remark: str
    contexts: Sequence[Context]


class Judgements:
    """Judgements in a JSONL file; of several about one phrase the last counts.

    Args:
        path: the file; it need not be there yet.
        allowed: the values that count.
    """

    def __init__(self, path: Path, allowed: Sequence[str]) -> None:
        self.path = path
        self.allowed = tuple(allowed)
        self.latest: dict[str, str] = {}
        self._lock = threading.Lock()
        for number, row in read_log(path):
            if not isinstance(row.get("name"), str) or row.get("value") not in (*self.allowed, None):
                raise JudgingError(
                    f"{path}, line {number}: expected a name, and a value of {', '.join(self.allowed)}; remove the line"
                )
            self._set(row["name"], row["value"])

    def _set(self, name: str, value: str | None) -> None:
        if value is None:
            self.latest.pop(name, None)
        else:
            self.latest[name] = value

    def record(self, name: str, value: str | None) -> None:
        """Save one judgement, None to take it back; it is on the disk when this returns."""
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"name": name, "value": value}, ensure_ascii=False) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            self._set(name, value)


def page(
    title: str, question: str, phrases: Sequence[Phrase], choices: Sequence[Choice], judged: dict[str, str]
) -> str:
    """The page's HTML, with the phrases, the choices, and what has been judged."""
    data = {
        "phrases": [{**vars(phrase), "contexts": [list(c) for c in phrase.contexts]} for phrase in phrases],
        "choices": [vars(choice) for choice in choices],
        "judged": judged,
    }
    parts = {
        "TITLE": html.escape(title),
        "QUESTION": html.escape(question),
        "DATA": json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
    }
    made = resources.files("hicra_verl.mining").joinpath("judging.html").read_text(encoding="utf-8")
    for name, content in parts.items():
        made = made.replace(f"@@{name}@@", content)
    return made


def serve(
    title: str,
    question: str,
    phrases: Sequence[Phrase],
    choices: Sequence[Choice],
    judgements: Judgements,
    opened: Callable[[str], None],
    port: int = 0,
) -> None:
    """Serve the page until its "done" is pressed or the process is interrupted.

    Only this machine can reach it, and only who knows the address, which holds a random word; so no other page in the
    browser can read or judge.

    Args:
        title: the page's heading.
        question: what is to be judged, in a sentence.
        phrases: what is judged, in this order.
        choices: the possible judgements.
        judgements: where they are saved.
        opened: called with the address.
        port: 0 for any free one.
    """
    word = secrets.token_urlsafe(16)
    names = {phrase.name for phrase in phrases}
    values = {choice.value for choice in choices}

    class Handler(BaseHTTPRequestHandler):
        def _is_ours(self) -> bool:
            host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
            return host in (LOOPBACK, "localhost") and self.path.startswith(f"/{word}/")

        def _answer(self, status: int, body: str, kind: str = "text/plain") -> None:
            content = body.encode("utf-8")
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Referrer-Policy", "no-referrer")
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            if not self._is_ours():
                self._answer(404, "not found")
                return
            self._answer(200, page(title, question, phrases, choices, judgements.latest), "text/html")

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if not self._is_ours() or length > MAX_REQUEST_BYTES:
                self._answer(404, "not found")
                return
            body = self.rfile.read(length)
            if self.path.endswith("/done"):
                self._answer(200, "saved")
                threading.Thread(target=server.shutdown).start()
                return
            try:
                asked: Any = json.loads(body)
                name, value = asked["name"], asked["value"]
            except (ValueError, TypeError, KeyError):
                self._answer(400, "expected a name and a value")
                return
            if not (isinstance(name, str) and isinstance(value, str | None)) or name not in names:
                self._answer(400, "no such phrase")
                return
            if value not in {*values, None}:
                self._answer(400, "no such judgement")
                return
            judgements.record(name, value)
            self._answer(200, "saved")

        def log_message(self, format: str, *args: Any) -> None:
            pass  # a line for each key pressed helps nobody

    server = ThreadingHTTPServer((LOOPBACK, port), Handler)
    server.daemon_threads = True
    try:
        opened(f"http://{LOOPBACK}:{server.server_port}/{word}/")
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


# --- the same as a table to fill in -----------------------------------------------------------------------------------


def write_sheet(path: Path, phrases: Sequence[Phrase], judged: dict[str, str], column: str) -> None:
    """A TSV with a row a phrase: its name, its text, the column to fill in, a remark, and its uses.

    Replaces the file in one move; take over what it holds (``read_sheet``) before.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerow(["number", "phrase", column, "remark", "uses"])
        for phrase in phrases:
            uses = " ¶ ".join(f"{before}[{text}]{after}" for before, text, after in phrase.contexts)
            cells = [phrase.name, phrase.text, judged.get(phrase.name, ""), phrase.remark, uses]
            writer.writerow([" ".join(cell.split()) for cell in cells])
    temporary.replace(path)


def read_sheet(path: Path, phrases: Sequence[Phrase], allowed: Sequence[str], column: str) -> dict[str, str]:
    """The judgements of a filled-in sheet; rows left empty have none.

    Raises:
        JudgingError: naming the line and field that cannot be used.
    """
    texts = {phrase.name: " ".join(phrase.text.split()) for phrase in phrases}
    found = {}
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = {"number", "phrase", column} - set(rows.fieldnames or [])
        if missing:
            raise JudgingError(f"{path}: no column {', '.join(sorted(missing))}; keep the sheet's first line as it was")
        for line, row in enumerate(rows, 2):
            name, value = str(row["number"]), str(row[column] or "").strip().lower()
            if texts.get(name) != row["phrase"]:
                raise JudgingError(f"{path}, line {line}: number {name} is not {row['phrase']!r}; is it another sheet?")
            if value and value not in allowed:
                raise JudgingError(
                    f"{path}, line {line}, field {column!r}: expected one of {', '.join(allowed)}, got {value!r}"
                )
            if value:
                found[name] = value
    return found
