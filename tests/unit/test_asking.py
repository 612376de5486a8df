"""Asking a model: what is kept, what is asked again, and what a server may send."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from bad_server import KEY, url
from fake_server import FakeServer, Refused

from hicra_verl.append_log import AppendLogError, appending, read_log
from hicra_verl.asking import Answers, RefusedError
from hicra_verl.endpoint import Answer, Endpoint, EndpointError, Question


def questions(*texts: str) -> dict[str, Question]:
    return {text: Question([{"role": "user", "content": text}], {}) for text in texts}


def test_each_question_is_asked_once_and_kept(tmp_path: Path) -> None:
    server = FakeServer(lambda body: "re: " + body["messages"][0]["content"])
    try:
        endpoint = Endpoint(server.url, "m")
        found = dict(Answers(tmp_path / "a.jsonl").ask(endpoint, questions("a", "b")))
        assert {key: answer.text for key, answer in found.items()} == {"a": "re: a", "b": "re: b"}
        assert sum(answer.prompt_tokens for answer in found.values()) == 2
        again = list(Answers(tmp_path / "a.jsonl").ask(endpoint, questions("b", "c")))
        assert again[0] == ("b", Answer("re: b", "", 0, 0))  # kept: it costs nothing
        assert [key for key, _ in again] == ["b", "c"]
        assert len(server.asked) == 3
    finally:
        server.close()


def test_refused_questions_block_no_other_and_are_asked_again(tmp_path: Path) -> None:
    def reply(body: dict[str, object]) -> str:
        if "bad" in json.dumps(body):
            raise Refused("too long")
        return "fine"

    server = FakeServer(reply)
    try:
        answers = Answers(tmp_path / "a.jsonl")
        found = dict(answers.ask(Endpoint(server.url, "m", 1), questions("a", "bad", "b")))
        assert set(found) == {"a", "b"}
        assert answers.refused == {"bad": "answers 400: too long"}
        with pytest.raises(RefusedError, match=r"1 questions were refused \(the first: answers 400: too long\); done;"):
            answers.check_refusals("done")
        requests = server.requests
        list(Answers(tmp_path / "a.jsonl").ask(Endpoint(server.url, "m"), questions("a", "bad", "b")))
        assert server.requests == requests + 1
    finally:
        server.close()


def test_another_models_answers(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"model": "n", "key": "a", "text": "yes"}\n')
    assert set(Answers(tmp_path / "a.jsonl").kept) == {"a"}  # its key may name the model
    with pytest.raises(AppendLogError, match=r"a\.jsonl, line 1: answers of n, not of m"):
        Answers(tmp_path / "a.jsonl", "m")


def test_a_log_keeps_half_characters_and_line_separators(tmp_path: Path) -> None:
    rows = [{"text": "\ud83d \u2028 \u0085 é"}, {"text": "a\nb"}]
    with appending(tmp_path / "l.jsonl", sync=True) as append:
        for row in rows:
            append(row)
    assert [row for _, row in read_log(tmp_path / "l.jsonl")] == rows


ROW = b'{"a": 1}\n'


@pytest.mark.parametrize(
    ("end", "rows", "bytes_kept"),
    [
        (b'{"a": 2}', [1, 2, 3], ROW + b'{"a": 2}\n'),
        (b'{"a": "\xc3', [1, 3], ROW),
        (b"{", [1, 3], ROW),
        (b"", [1, 3], ROW),
    ],
)
def test_a_last_line_without_an_end(end: bytes, rows: list[int], bytes_kept: bytes, tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    path.write_bytes(ROW + end)
    list(read_log(path))
    assert path.read_bytes() == ROW + end  # reading writes nothing
    with appending(path) as append:
        append({"a": 3})
    assert path.read_bytes() == bytes_kept + b'{"a": 3}\n'
    assert [row["a"] for _, row in read_log(path)] == rows


@pytest.mark.parametrize("end", [b"a note of mine", b"[1, 2", b"7", b"{what"])
def test_a_last_line_that_was_never_a_row_is_not_removed(end: bytes, tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    path.write_bytes(ROW + end)
    with pytest.raises(AppendLogError, match=r"l\.jsonl, line 2: the last line has no end .* is it another file\?"):
        list(read_log(path))
    with pytest.raises(AppendLogError), appending(path):
        pass
    assert path.read_bytes() == ROW + end


def test_a_finish_reason_is_not_taken_for_a_refusal(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "a.jsonl")
    found = dict(answers.ask(Endpoint(url("says-refused"), "m"), questions("a")))
    assert (found["a"].finish_reason, answers.refused) == ("refusal", {})


@pytest.mark.parametrize("kind", ["drip", "silent", "head-drip", "continue"])
def test_an_answer_that_does_not_end_is_given_up_in_time(kind: str) -> None:
    endpoint = Endpoint(url(kind), "m", timeout_s=0.3, retries=0)
    began = time.monotonic()
    with pytest.raises(EndpointError, match="its answer was not whole after 0.3 s"):
        list(endpoint.ask_all(questions("a").values()))
    assert time.monotonic() - began < 0.6


def test_retry_after_of_hours_is_said_and_not_waited_for() -> None:
    began = time.monotonic()
    with pytest.raises(EndpointError, match="asks to wait 7,200 s, longer than --timeout-s 5; try again then"):
        list(Endpoint(url("later"), "m", timeout_s=5).ask_all(questions("a").values()))
    assert time.monotonic() - began < 2


def test_no_message_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for kind in ("echo", "no-json"):
        with pytest.raises(EndpointError) as failed:
            list(Endpoint(url(kind, "ann:hunter2@"), "m", timeout_s=1).ask_all(questions("a").values()))
        assert "//[hidden]@127.0.0.1" in str(failed.value)
        assert KEY not in str(failed.value)
        assert "hunter2" not in str(failed.value)


def test_tokens_that_are_none() -> None:
    for kind in ("list", "number", "no-json", "refused"):
        assert Endpoint(url(kind).removesuffix("/v1") + "/x/v1", "m", retries=0).token_ids("a") is None
    with pytest.raises(EndpointError):
        Endpoint("http://127.0.0.1:9/v1", "m", timeout_s=0.1, retries=0).token_ids("a")
