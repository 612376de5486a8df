"""The pages that mining serves and writes: who may reach them, and that what they show stays text."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hicra_verl.local_server import LOOPBACK
from hicra_verl.mining.contexts import Context
from hicra_verl.mining.judging import Choice, Judgements, Phrase
from hicra_verl.mining.local_page import MAX_REQUEST_BYTES, Sitting, serve
from hicra_verl.mining.mine import Cluster, Mined
from hicra_verl.mining.page import render

CHOICES = [Choice("y", "yes", "yes"), Choice("n", "no", "no")]
HOSTILE = (
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<!-- <script>",
    "'\";document.title='owned';//",
    "${document.title='owned'}",
    "@@DATA@@ @@TITLE@@ @@PROVENANCE@@",
    "\u2028document.title='owned'\u2029",
)


@dataclass
class Served:
    """A page that is being served, and where its judgements go."""

    port: int
    token: str
    log: Path

    def ask(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> tuple[int, str, Any]:
        """A request as any program on this machine could send it; a header named with _ has - instead."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def judge(self, value: Any = "yes", **headers: str) -> int:
        return self.ask("POST", f"/{self.token}/judge", json.dumps({"name": "1", "value": value}), **headers)[0]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    log = tmp_path / "j.jsonl"
    phrases = [Phrase("1", "we can", "", []), Phrase("2", "so it is", "", [])]
    sitting = Sitting("T", "Q?", phrases, CHOICES, Judgements(log, ("yes", "no")))
    addresses: list[str] = []
    ready = threading.Event()

    def opened(address: str) -> None:
        addresses.append(address)
        ready.set()

    thread = threading.Thread(target=serve, args=(sitting, opened), daemon=True)
    thread.start()
    assert ready.wait(5)
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]{20,})/", addresses[0])
    assert found
    page = Served(int(found[1]), found[2], log)
    yield page
    assert page.ask("POST", f"/{page.token}/done", "{}")[0] == 200
    thread.join(5)
    assert not thread.is_alive()


def test_only_this_machine_reaches_the_page(served: Served) -> None:
    names = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in names - {LOOPBACK}:
        if not address.startswith("127."):
            with pytest.raises(OSError, match=r"."), socket.create_connection((address, served.port), 1):
                pass
    assert served.ask("GET", f"/{served.token}/")[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/judge", "/done", "//judge", "/x/judge", "judge", "/{cut}/judge", "/../{token}/"]
)
def test_every_request_needs_the_token(path: str, served: Served) -> None:
    path = path.format(cut=served.token[:-1], token=served.token)
    for method in ("GET", "POST"):
        assert served.ask(method, path, '{"name": "1", "value": "yes"}')[0] == 404
    assert not served.log.exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "http://evil.example:{port}"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_sites_are_refused(headers: dict[str, str], served: Served) -> None:
    headers = {name: value.format(port=served.port) for name, value in headers.items()}
    assert served.ask("GET", f"/{served.token}/", **headers)[0] == 404
    assert served.judge(**headers) == 404
    assert not served.log.exists()


def test_the_page_itself_is_not(served: Served) -> None:
    for host in (LOOPBACK, "localhost"):
        own = f"{host}:{served.port}"
        assert served.judge(Host=own, Origin=f"http://{own}", Sec_Fetch_Site="same-origin") == 200
    assert served.log.read_text().count("\n") == 2
    status, page, headers = served.ask("GET", f"/{served.token}/")
    assert status == 200
    assert headers["Referrer-Policy"] == "no-referrer"  # the address holds the token
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(headers["Content-Security-Policy"].split("; "))
    assert served.token not in page  # nothing that is saved of it can write


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 9_000, 400),
        (b'{"name": ["1"], "value": "yes"}', 400),
        (b'{"name": "1", "value": {"yes": 1}}', 400),
        (b'{"name": "9", "value": "yes"}', 400),
        (b'{"name": "1", "value": "perhaps"}', 400),
        (b'{"name": "1"}', 400),
        (b" " * (MAX_REQUEST_BYTES + 1), 404),
    ],
)
def test_what_is_no_judgement(body: bytes, status: int, served: Served) -> None:
    assert served.ask("POST", f"/{served.token}/judge", body)[0] == status
    assert not served.log.exists()


@pytest.mark.parametrize("length", ["-1", "abc", "²", "1e3", "9" * 30])
def test_a_length_that_is_none(length: str, served: Served) -> None:
    path = f"/{served.token}/judge"
    with socket.create_connection((LOOPBACK, served.port), 5) as stream:
        head = f"POST {path} HTTP/1.1\r\nHost: {LOOPBACK}:{served.port}\r\nContent-Length: {length}\r\n\r\n"
        stream.sendall(head.encode())
        assert b" 404 " in stream.recv(1000).split(b"\r\n")[0]


def test_a_judgement_that_cannot_be_saved_is_said(served: Served) -> None:
    served.log.mkdir()
    status, said, _ = served.ask("POST", f"/{served.token}/judge", '{"name": "1", "value": "yes"}')
    assert status == 500
    assert "j.jsonl: cannot be written" in said
    served.log.rmdir()
    assert served.judge() == 200


# --- what is shown stays text -----------------------------------------------------------------------------------------


def judging_page(folder: Path) -> str:
    """Markup as title, question, phrase, remark, context and file name."""
    judgements = Judgements(folder / "<b>.jsonl", ("yes", "no"))
    phrases = [
        Phrase(text, text, f"from {text}", [Context(f"before {text}", text, f"after {text}")]) for text in HOSTILE
    ]
    judgements.record(HOSTILE[0], "no")
    return Sitting(f"Review of {HOSTILE[1]} {HOSTILE[6]}", HOSTILE[0], phrases, CHOICES, judgements).page()


def mining_page(folder: Path) -> str:
    """Markup as n-grams, title and names of files."""
    files = [{"file": f"{text}.jsonl", "bytes": 1, "sha256": "0"} for text in HOSTILE]
    members = tuple((text, 3) for text in HOSTILE)
    mined = Mined(files, 9, 0.1, 9, 9, 9, (Cluster(3, True, members), Cluster(2, False, members)), {})
    return render(mined, f"Strategic grams: {HOSTILE[1]} {HOSTILE[6]}", {"corpus": files, "name": HOSTILE[2]})


PAGES = {"judging": judging_page, "mining": mining_page}


@pytest.mark.parametrize("name", PAGES)
def test_markup_stays_text(name: str, tmp_path: Path) -> None:
    page = PAGES[name](tmp_path)
    assert len(re.findall(r"<script\b", page)) == 1
    assert len(re.findall(r"</script\b", page)) == 1
    assert "<img" not in page
    assert "<!--" not in page
    head, _, script = page.partition("<script>")
    assert "owned'</script>" not in head
    data = re.search(r"^const .*? = (.*)(?:, solutions = |;$)", script, re.MULTILINE)
    assert data
    found = json.dumps(json.JSONDecoder().raw_decode(data[1])[0], ensure_ascii=False)
    for text in HOSTILE:
        assert json.dumps(text, ensure_ascii=False)[1:-1] in found


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium: the page's script cannot be run")
@pytest.mark.parametrize("name", PAGES)
def test_markup_stays_text_in_a_browser(name: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGES[name](tmp_path), encoding="utf-8")
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run([*words, str(tmp_path / "page.html")], capture_output=True, text=True, timeout=120)
    assert "<title>owned</title>" not in done.stdout
    body = done.stdout.partition("</h1>")[2]
    before = body.partition("<script>")[0]  # what the script has drawn
    assert "&lt;script&gt;document.title='owned'&lt;/script&gt;" in before
    assert "<img" not in before
