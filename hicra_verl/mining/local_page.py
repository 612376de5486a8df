"""The page on which a person judges phrases: for this machine alone, one key a judgement."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hicra_verl.append_log import AppendLogError
from hicra_verl.local_server import LocalHandler, LocalServer
from hicra_verl.mining.judging import Choice, Judgements, JudgingError, Phrase
from hicra_verl.pages import fill, script_data
from hicra_verl.records import whole_number

MAX_REQUEST_BYTES = 10_000


@dataclass(frozen=True)
class Sitting:
    """What is judged on a page.

    Attributes:
        title: the page's heading.
        question: what is to be judged, in a sentence.
        phrases: what is judged, in this order.
        choices: the possible judgements.
        judgements: where they are saved.
    """

    title: str
    question: str
    phrases: Sequence[Phrase]
    choices: Sequence[Choice]
    judgements: Judgements

    def page(self) -> str:
        """The page's HTML, with the phrases, the choices, and what has been judged."""
        data = {
            "phrases": [{**vars(phrase), "contexts": [list(c) for c in phrase.contexts]} for phrase in self.phrases],
            "choices": [vars(choice) for choice in self.choices],
            "judged": self.judgements.latest,
        }
        parts = {"TITLE": html.escape(self.title), "QUESTION": html.escape(self.question), "DATA": script_data(data)}
        return fill("hicra_verl.mining", "judging.html", parts)

    def record(self, body: bytes) -> tuple[int, str]:
        """Save what the page sends; the status and the text of the answer."""
        try:
            asked: Any = json.loads(body)
            name, value = asked["name"], asked["value"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return 400, "expected a name and a value"
        if name not in [phrase.name for phrase in self.phrases]:
            return 400, "no such phrase"
        if value is not None and value not in [choice.value for choice in self.choices]:
            return 400, "no such judgement"
        try:
            self.judgements.record(name, value)
        except AppendLogError as error:
            return 500, str(error)
        return 200, "saved"


class _Handler(LocalHandler):
    server: _Server
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    def do_GET(self) -> None:
        if self.is_ours():
            self.answer(200, self.server.sitting.page(), "text/html")
        else:
            self.answer(404, "not found")

    def do_POST(self) -> None:
        length = whole_number(self.headers.get("Content-Length", ""))
        if not self.is_ours() or length is None or length > MAX_REQUEST_BYTES:
            self.answer(404, "not found")
            return
        body = self.rfile.read(length)
        if self.path.endswith("/done"):
            self.answer(200, "saved")
            threading.Thread(target=self.server.shutdown).start()
        else:
            self.answer(*self.server.sitting.record(body))


class _Server(LocalServer):
    def __init__(self, sitting: Sitting, port: int) -> None:
        self.sitting = sitting
        super().__init__(_Handler, port)


def serve(sitting: Sitting, opened: Callable[[str], None], port: int = 0) -> None:
    """Serve the page until its "done" is pressed or the process is interrupted.

    Only this machine can reach it, and only who knows the address, which holds a random token; so no other page in the
    browser can read or judge.

    Args:
        sitting: what is judged.
        opened: called with the address.
        port: 0 for any free one.

    Raises:
        JudgingError: if the port cannot be had.
    """
    try:
        server = _Server(sitting, port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise JudgingError(f"--port {port}: {reason}", remedy="--port 0 takes any free one") from error
    try:
        opened(server.address)
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
