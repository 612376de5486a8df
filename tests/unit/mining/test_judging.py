"""Candidates judged by a model and by people."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_server import FakeServer
from made_up_solutions import STEERS, TEXTS, candidates, sample_of, solutions, write
from typer.testing import CliRunner

from hicra_verl.cli import app
from hicra_verl.grams import load_grams
from hicra_verl.grams.gramset import Gram, GramSet
from hicra_verl.mining.annotate import read_answer
from hicra_verl.mining.contexts import find_contexts
from hicra_verl.mining.judging import Choice, Judgements, JudgingError, Phrase
from hicra_verl.mining.local_page import Sitting, serve

# --- a model ----------------------------------------------------------------------------------------------------------


def judge(body: dict[str, Any]) -> str:
    """What a sensible model says: strategic are the phrases of ``STEERS``."""
    text = body["messages"][0]["content"]
    rows = []
    for number, phrase in re.findall(r"^(\d+)\. (.*)$", text, re.MULTILINE):
        rows.append(
            {
                "number": int(number),
                "strategic": phrase in STEERS,
                "function": STEERS.get(phrase, "other"),
                "reason": "because",
            }
        )
    return json.dumps({"judgements": rows})


def run_annotate(
    folder: Path,
    reply: Callable[[dict[str, Any]], str] = judge,
    fault: Callable[[int], str | None] = lambda n: None,
    *more: str,
) -> tuple[Any, FakeServer]:
    server = FakeServer(reply, fault)
    words = ["annotate", str(candidates(folder)), "--base-url", server.url, "--model", "m", "--batch", "3"]
    try:
        return CliRunner().invoke(app, [*words, "-o", str(folder / "out.json"), "--timeout-s", "1", *more]), server
    finally:
        server.close()


def test_what_a_model_calls_strategic(tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", solutions(40))
    done, server = run_annotate(
        tmp_path, judge, lambda n: None, "--corpus", str(tmp_path / "c.jsonl"), "--price", "1", "1"
    )
    assert done.exit_code == 0, done.output
    made = load_grams(tmp_path / "out.json")
    assert {gram.text: gram.function for gram in made} == STEERS
    assert made.grams[0].source == "m: because"
    assert dict(made.provenance)["judged"] == {"candidates": 10, "judged": 10, "strategic": 2}
    assert len(server.asked) == 4
    assert all(body["response_format"]["json_schema"]["strict"] is True for body in server.asked)
    assert any("[[Let's try a different approach]]" in body["messages"][0]["content"] for body in server.asked)
    assert (tmp_path / "out.tsv").read_text().count("\n") == 11


@pytest.mark.parametrize("kind", ["429", "500", "hang", "malformed"])
def test_a_fault_costs_no_answer(kind: str, tmp_path: Path) -> None:
    done, server = run_annotate(tmp_path, judge, lambda n: kind if n % 3 == 1 else None)
    assert done.exit_code == 0, done.output
    assert len(load_grams(tmp_path / "out.json")) == 2
    assert len(server.asked) == 4


def test_refusals_and_unusable_answers_are_asked_again_then_left_out(tmp_path: Path) -> None:
    def moody(body: dict[str, Any]) -> str:
        if "an apple is" in body["messages"][0]["content"]:
            return "I cannot help with that."
        return judge(body) if body["seed"] > 0 else '{"judgements": [{"number": 1, "strategic": "maybe"}]}'

    done, server = run_annotate(tmp_path, moody)
    assert done.exit_code == 0, done.output
    assert {gram.text for gram in load_grams(tmp_path / "out.json")} == set(STEERS)
    assert "no usable answer about" in done.output
    asked = len(server.asked)
    again, second = run_annotate(tmp_path)  # a better server is asked again, and only what is missing
    assert again.exit_code == 0
    assert "10 of 10 judged" in again.output
    assert (asked > 8, len(second.asked)) == (True, 4)
    _, third = run_annotate(tmp_path)
    assert len(third.asked) == 0  # what is usable is not paid for twice


def test_a_dead_server_loses_nothing(tmp_path: Path) -> None:
    done, server = run_annotate(tmp_path, judge, lambda n: None if n <= 2 else "500", "--concurrency", "1")
    assert done.exit_code == 2
    assert "Every answer so far is saved" in " ".join(done.output.split())
    assert not (tmp_path / "out.json").exists()
    again, second = run_annotate(tmp_path)
    assert (again.exit_code, len(second.asked)) == (0, 4 - len(server.asked))
    shutil.copytree(tmp_path, tmp_path / "whole", ignore=shutil.ignore_patterns("*.answers.jsonl", "whole"))
    run_annotate(tmp_path / "whole")
    assert (tmp_path / "whole" / "out.json").read_bytes() == (tmp_path / "out.json").read_bytes()


def test_annotate_killed_goes_on(tmp_path: Path) -> None:
    def slow(body: dict[str, Any]) -> str:
        time.sleep(0.3)
        return judge(body)

    server = FakeServer(slow)
    words = [sys.executable, "-m", "hicra_verl.cli", "annotate", str(candidates(tmp_path)), "--base-url", server.url]
    words += ["--model", "m", "--batch", "1", "--concurrency", "1", "-o", str(tmp_path / "out.json")]
    cache = tmp_path / "out.json.answers.jsonl"
    try:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not cache.exists() or cache.read_bytes().count(b"\n") < 3:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kept = cache.read_bytes()
        with cache.open("ab") as stream:
            stream.write(b'{"key": "cut sho')
        subprocess.run(words, check=True, capture_output=True)
    finally:
        server.close()
    assert cache.read_bytes().startswith(kept)
    assert len(server.asked) <= len(TEXTS) + 1  # one answer was in hand
    assert len(load_grams(tmp_path / "out.json")) == 2


def test_a_limit_of_requests_a_minute(tmp_path: Path) -> None:
    started = time.monotonic()
    run_annotate(tmp_path, judge, lambda n: None, "--per-minute", "240")
    assert time.monotonic() - started > 3 * 60 / 240


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no JSON",
        "{",
        '{"judgements": 3}',
        '{"judgements": [1, {"number": 9, "strategic": true, "function": "other"}]}',
    ],
)
def test_unusable_answers(text: str) -> None:
    assert read_answer(text, [Phrase("a", "a", "", [])]) == {}


def test_an_answer_that_contradicts_itself_says_nothing_of_that_phrase() -> None:
    def row(number: int, strategic: bool) -> dict[str, Any]:
        return {"number": number, "strategic": strategic, "function": "other", "reason": ""}

    text = json.dumps({"judgements": [row(1, True), row(2, True), row(1, False), row(2, True)]})
    assert set(read_answer(text, [Phrase(name, name, "", []) for name in "ab"])) == {"b"}


def test_an_answer_in_a_fence_is_read() -> None:
    row = '{"number": 1, "strategic": true, "function": "branching", "reason": "two\\nlines"}'
    found = read_answer(f'Sure!\n```json\n{{"judgements": [{row}]}}\n```', [Phrase("a", "a", "", [])])
    assert (found["a"].function, found["a"].reason) == ("branching", "two lines")


# --- a person ---------------------------------------------------------------------------------------------------------

CHOICES = [Choice("y", "yes", "yes"), Choice("n", "no", "no")]
PAGE_PHRASES = [Phrase("1", "</script><b>", "", []), Phrase("2", "we can", "", [])]


def post(url: str, body: Any, **headers: str) -> int:
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_page_saves_each_judgement_and_only_this_page_can(tmp_path: Path) -> None:
    judgements = Judgements(tmp_path / "j.jsonl", ("yes", "no"))
    url = ""
    ready = threading.Event()

    def opened(address: str) -> None:
        nonlocal url
        url = address
        ready.set()

    thread = threading.Thread(target=serve, args=(Sitting("T", "Q?", PAGE_PHRASES, CHOICES, judgements), opened))
    thread.start()
    assert ready.wait(5)
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(url, timeout=5) as answer:
        shown = answer.read().decode()
    assert "\\u003c/script>" in shown
    assert "@@" not in shown
    assert post(f"{url}judge", {"name": "2", "value": "yes"}) == 200
    assert (tmp_path / "j.jsonl").read_text() == '{"name": "2", "value": "yes"}\n'
    assert post(f"{url}judge", {"name": "2", "value": "maybe"}) == 400
    assert post(f"{url}judge", {"name": "9", "value": "yes"}) == 400
    assert post(f"{url}judge", [1]) == 400
    assert post(f"{url}judge", {"name": ["2"], "value": ["yes"]}) == 400
    root = url.split("/", 3)
    assert post(f"http://{root[2]}/judge", {"name": "1", "value": "yes"}) == 404
    assert post(f"{url}judge", {"name": "1", "value": "yes"}, Host="evil.example") == 404
    assert post(f"{url}judge", {"name": "2", "value": None}) == 200
    assert post(f"{url}judge", {"name": "1", "value": "no"}) == 200
    assert post(f"{url}done", {}) == 200
    thread.join(5)
    assert not thread.is_alive()
    assert Judgements(tmp_path / "j.jsonl", ("yes", "no")).latest == {"1": "no"}


def test_spoilt_judgements_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "j.jsonl").write_text('{"name": "1", "value": "yes"}\n{"name": "1", "value": "perhaps"}\n')
    with pytest.raises(JudgingError, match=r"j\.jsonl, line 2: expected a name, and a value of yes, no"):
        Judgements(tmp_path / "j.jsonl", ("yes", "no"))


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium: the page's script cannot be run")
def test_the_pages_keys_in_a_browser(tmp_path: Path) -> None:
    """Keys judge, move, take back; the page then shows what is left. The page's own fetch is replaced."""
    judgements = Judgements(tmp_path / "j.jsonl", ("yes", "no"))
    judgements.record("1", "no")
    shown = Sitting("T", "Q?", [Phrase(str(n), f"phrase {n}", "", []) for n in range(3)], CHOICES, judgements).page()
    script = """<script>
      const sent = []; window.fetch = async (to, how) => { sent.push(how.body); return {ok: true}; };
      const press = key => {
        document.onkeydown(new KeyboardEvent("keydown", {key}));
        return new Promise(done => setTimeout(done));
      };
      (async () => {
        await press("y"); await press("n"); await press("ArrowLeft"); await press("u"); await press("y");
        const result = document.createElement("pre"); result.id = "result";
        result.textContent = sent.join(";") + "|" + document.getElementById("count").textContent;
        document.body.append(result);
      })();
    </script>"""
    (tmp_path / "p.html").write_text(shown.replace("</html>", script + "</html>"))
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run([*words, str(tmp_path / "p.html")], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-500:]
    sent, _, count = found.group(1).partition("|")
    judged = [json.loads(each) for each in sent.split(";")]
    # y on 0; n on 1 moves on; left: 1; u takes 1 back; y on 1.
    assert [(each["name"], each["value"]) for each in judged] == [("0", "yes"), ("1", "no"), ("1", None), ("1", "yes")]
    assert count == "3 of 3 · 2 judged"


def test_review_by_sheet(tmp_path: Path) -> None:
    write(tmp_path / "c.jsonl", solutions(40))
    words = [
        "review",
        str(candidates(tmp_path)),
        "-o",
        str(tmp_path / "out.json"),
        "--corpus",
        str(tmp_path / "c.jsonl"),
    ]
    assert CliRunner().invoke(app, [*words, "--sheet", str(tmp_path / "s.tsv")]).exit_code == 0
    lines = (tmp_path / "s.tsv").read_text().splitlines()
    assert lines[0] == "number\tphrase\tjudgement\tremark\tuses"
    assert "[Let's try a different approach]" in lines[1]
    filled = []
    for line in lines[1:4]:
        cells = line.split("\t")
        cells[2] = STEERS.get(cells[1], "reject")
        filled.append("\t".join(cells))
    (tmp_path / "s.tsv").write_text("\n".join([lines[0], *filled, *lines[4:]]) + "\n")
    done = CliRunner().invoke(app, [*words, "--from-sheet", str(tmp_path / "s.tsv")])
    assert done.exit_code == 0, done.output
    assert "3 of 10 judged, 1 accepted, 7 left" in done.output
    assert [(gram.text, gram.function) for gram in load_grams(tmp_path / "out.json")] == [(TEXTS[0], "branching")]
    (tmp_path / "s.tsv").write_text("\n".join([lines[0], filled[0].replace("branching", "planning")]) + "\n")
    done = CliRunner().invoke(app, [*words, "--from-sheet", str(tmp_path / "s.tsv")])
    assert "line 2, field 'judgement': expected one of deduction" in " ".join(done.output.split())
    done = CliRunner().invoke(app, [*words, "--sheet", str(tmp_path / "s.tsv")])
    assert (done.exit_code, "is there already" in done.output) == (2, True)  # what was filled in is not overwritten


@pytest.mark.parametrize("how", ["review", "rate"])
def test_killed_while_judging(how: str, tmp_path: Path) -> None:
    """What was judged before a kill is there afterwards, and the next sitting goes on from it."""
    write(tmp_path / "c.jsonl", solutions(60))
    if how == "review":
        words = ["review", str(candidates(tmp_path)), "-o", str(tmp_path / "out.json")]
        kept, values = tmp_path / "out.json.judgements.jsonl", ("branching", "reject")
        names = [TEXTS[0], TEXTS[1]]
    else:
        sample_of(tmp_path)
        words = ["precision", "rate", str(tmp_path / "sample"), "--rater", "ann"]
        kept, values, names = tmp_path / "sample" / "ann.jsonl", ("yes", "no"), ["1", "2"]
    command = [sys.executable, "-u", "-m", "hicra_verl.cli", *words]
    for sitting, name in enumerate(names):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"})
        assert process.stdout is not None
        url = process.stdout.readline().split()[1]
        assert post(f"{url}judge", {"name": name, "value": values[sitting]}) == 200
        if sitting == 0:
            process.send_signal(signal.SIGKILL)
        else:
            post(f"{url}done", {})
        process.wait(20)
    assert [json.loads(line)["name"] for line in kept.read_text().splitlines()] == names
    if how == "review":
        assert [gram.text for gram in load_grams(tmp_path / "out.json")] == [TEXTS[0]]


def test_contexts_are_cut_at_characters() -> None:
    grams = GramSet("x", (Gram("we can", "other", ""), Gram("never here", "other", "")))
    text = "é" * 200 + " We can " + "→" * 200
    [[context], nothing] = find_contexts(grams, [text, "no"], 3)
    assert nothing == []
    assert context.phrase == "We can"
    assert set(context.before) == {"…", " ", "é"}
    assert set(context.after) == {"…", " ", "→"}
