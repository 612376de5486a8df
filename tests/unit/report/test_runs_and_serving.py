"""What a report says of a run that lacks something, and how it is served and written again."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from made_up_reports import read_json, read_report, rows_of
from made_up_runs import make_run
from test_store import pieces_without_time

from hicra_verl.errors import HicraError
from hicra_verl.report.build import write_report
from hicra_verl.report.configuration import settings_of
from hicra_verl.report.serving import present, serving
from hicra_verl.report.turns import turn_count, turns_of


def report(folder: Path, *runs: str, **options: Any) -> dict[str, bytes]:
    write_report(list(runs), folder / "page.html", **options)
    return read_report(folder / "page.html")


def add(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- what a run lacks -------------------------------------------------------------------------------------------------


def test_a_run_that_never_heard_of_hicra(tmp_path: Path) -> None:
    """verl's own metrics and dumps: text measures are recomputed, and what is missing is said by name."""
    folder = make_run(tmp_path / "run", steps=3)
    shutil.rmtree(folder / "hicra_traces")
    shutil.rmtree(folder / "validation")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line["data"] = {"critic/score/mean": line["data"]["critic/score/mean"]}
    add(folder / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    pieces = report(tmp_path, str(folder))
    [run] = read_json(pieces, "manifest")["runs"]
    said = " ".join(run["lacks"])
    for words in (
        "no measures of HICRA", "trainer.validation_data_dir", "algorithm.hicra.traces", "Lengths in tokens",
        "clipped is unknown", "hicra errors", "command.txt",
    ):  # fmt: skip
        assert words in said
    found = read_json(pieces, "curves")["0"]
    assert found["hicra/semantic_entropy_nats"][0] == [1, 2, 3]
    assert found["critic/score/mean"][1] == [line["data"]["critic/score/mean"] for line in lines]
    assert len(read_json(pieces, "gramstats/0")["rows"]) > 0


def test_dumps_alone_are_a_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", steps=2)
    (folder / "metrics.jsonl").unlink()
    pieces = report(tmp_path, str(folder))
    [run] = read_json(pieces, "manifest")["runs"]
    assert "No metrics were logged" in " ".join(run["lacks"])
    rows, curve = rows_of(pieces, 0), read_json(pieces, "curves")["0"]["critic/score/mean"]
    for section in run["sections"]:
        if section["kind"] == "train":
            scores = rows["score"][section["first"] : section["first"] + section["count"]]
            assert curve[1][curve[0].index(section["step"])] == pytest.approx(sum(scores) / len(scores))


def test_metrics_alone_are_a_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", steps=2)
    for name in ("rollouts", "validation", "hicra_traces"):
        shutil.rmtree(folder / name)
    pieces = report(tmp_path, str(folder / "metrics.jsonl"))
    [run] = read_json(pieces, "manifest")["runs"]
    assert (run["rows"], run["sections"]) == (0, [])
    assert "trainer.rollout_data_dir" in " ".join(run["lacks"])
    assert read_json(pieces, "vocabulary/0") == []


# --- traces, turns, errors, configuration -----------------------------------------------------------------------------


def test_traces_find_their_rows(tmp_path: Path) -> None:
    """By group, score and text; verl's dumps lack special tokens, and a token may hold a part of a character."""
    texts = ["so we can — see", "so we can", "but wait"]
    rows = [
        {"input": "p", "output": text, "score": float(place == 1), "uid": f"g_{place}_0"}
        for place, text in enumerate(texts)
    ]
    add(tmp_path / "run/rollouts/1.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    trace = {"group": "g", "score": 1.0, "tokens": ["so", " we", " can", "<|end|>"], "entropy_nats": [0.5] * 4,
             "function": ["other", None, None, None], "advantage": [1.0, 2.0, 3.0, 4.0]}  # fmt: skip
    other = {**trace, "score": 0.0, "tokens": ["so", " we", " can \ufffd", "\ufffd see"]}
    lost = {**trace, "group": "h"}
    add(tmp_path / "run/hicra_traces/1.jsonl", "".join(json.dumps(one) + "\n" for one in (trace, other, lost)))
    add(tmp_path / "run/command.txt", "python -m verl data.max_response_length=4")
    pieces = report(tmp_path, str(tmp_path / "run"))
    assert [one["row"] for one in read_json(pieces, "tokens/0/1")] == [1, 0, -1]
    found = rows_of(pieces, 0)
    assert found["trace"] == [1, 0, -1]
    assert found["tokens"] == [4, 4, -1]
    assert found["clipped"] == [1, 1, -1]
    assert found["advantage"][1] == 2.5
    assert found["planning"][1] == 0.25


def test_turns() -> None:
    text = "I ask.\nuser\n<tool_response>\n4 é\n</tool_response>\nassistant\nSo 4."
    found = turns_of(text)
    assert [role for _, _, role in found] == ["assistant", "tool", "assistant"]
    assert "".join(text[start:end] for start, end, _ in found) == text
    assert text[found[1][0] : found[1][1]].strip().startswith("user\n<tool_response>")
    assert turn_count(found, {}) == 2
    assert turns_of("no tools") == []
    assert turn_count([], {"num_turns": 6}) == 3
    assert turn_count([], {"num_turns": "many"}) == 1
    assert turns_of("<tool_response>" * 3_000)[-1][2] in ("tool", "assistant")  # ends, and soon


def test_token_ids_beside_a_run_give_lengths(tmp_path: Path) -> None:
    """By name where the dump names its responses, by place where it does not; a tool's output counts."""
    import torch

    from hicra_verl.training.token_ids import TokenIdWriter

    for step, named in ((1, True), (2, False)):
        uid = [{"uid": f"g_{place}_0"} if named else {} for place in range(3)]
        rows = [{"input": "p", "output": "so", "score": 1.0, **one} for one in uid]
        add(tmp_path / f"run/rollouts/{step}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        writer = TokenIdWriter(tmp_path / "run")
        ids = [torch.arange(2 + place) for place in (2, 0, 1)]
        writer.add([f"g_{place}_0" for place in (2, 0, 1)], ids, ids, [one % 2 for one in ids])
        writer.write(step)
    add(tmp_path / "run/command.txt", "python -m verl data.max_response_length=4")
    pieces = report(tmp_path, str(tmp_path / "run"))
    found = rows_of(pieces, 0)
    assert found["tokens"] == [2, 3, 4] * 2
    assert found["clipped"] == [0, 0, 1] * 2
    assert not any("clipped is unknown" in words for words in read_json(pieces, "manifest")["runs"][0]["lacks"])


def test_the_judges_words_are_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", steps=1)
    line = {"rater": "j #1", "of": "training", "step": 1, "row": 3, "letter": "C", "category": "Planning & Strategy",
            "answer": "It is.", "new": 1}  # fmt: skip
    lines = [line, {**line, "of": "validation", "category": None}, {**line, "row": 16}, {"step": "x"}]
    add(folder / "errors/judged.jsonl", "".join(json.dumps(one) + "\n" for one in lines) + '{"cut')
    add(folder / "errors/errors.json", json.dumps({"judges": {"j #1": []}}))
    pieces = report(tmp_path, str(folder))
    rows, [run] = read_json(pieces, "errors/0"), read_json(pieces, "manifest")["runs"]
    assert run["sections"][1]["first"] == 3  # behind the held-out responses of step 0
    assert [row["row"] for row in rows] == [3 + 3, None, None, None]  # three held-out responses: none is the fourth
    assert (rows[0]["sentences"], rows[0]["letter"], rows[1]["category"]) == ("It is.", "C", "")
    assert (run["judged"], run["judges"]) == (4, {"j #1": []})
    assert any("cut short" in gap for gap in run["gaps"])


def test_settings_of_commands() -> None:
    command = "# stage one\npython -m x a.b=1 +c=[x,y] \\\n  'd=e f' ~g=2 --port 7\n# stage two\npython -m x a.b=3"
    assert settings_of(command) == {"a.b": "3", "c": "[x,y]", "d": "e f", "g": "2"}
    assert settings_of("python 'no end a=1") == {"a": "1"}


def test_what_is_recorded_beside_a_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", steps=1)
    add(folder / ".hydra/config.yaml", "a: {b: 1, c: true, key: KEYVALUE}\nwandb_token: KEYVALUE\nl: [1, 2]\n")
    add(folder / "command.txt", "python -m x a.b=2 hf_token=KEYVALUE")
    own = {"grams": "abc", "values": {}, "versions": {"verl": "0.9.1"}, "git": "1234 https://u:PWVALUE@h/r"}
    add(folder / "checkpoints/hicra_initial.json", json.dumps(own))
    pieces = report(tmp_path, str(folder))
    [shown] = read_json(pieces, "configuration")
    assert shown["settings"]["a.b"] == "2"
    assert shown["settings"]["a.c"] == "true"
    assert shown["versions"] == {"verl": "0.9.1"}
    assert shown["grams"]["run"] == "abc"
    assert b"KEYVALUE" not in b"".join(pieces.values())
    assert b"PWVALUE" not in b"".join(pieces.values())


def test_a_run_keeps_its_environment(tmp_path: Path) -> None:
    """With the values of its first step, which a resumed run finds as before."""
    from hicra_verl.training.initial import InitialValues

    InitialValues(tmp_path / "checkpoints", "abc", resumed=False).keep({"perplexity_planning": 2.0})
    assert InitialValues(tmp_path / "checkpoints", "abc", resumed=True).values == {"perplexity_planning": 2.0}
    kept = json.loads((tmp_path / "checkpoints" / "hicra_initial.json").read_text())
    assert kept["versions"]["python"].startswith("3.")
    assert isinstance(kept["git"], str)


@pytest.mark.parametrize("name", [".hydra/config.yaml", "errors/errors.json", "checkpoints/hicra_initial.json"])
def test_a_broken_file_beside_a_run_is_a_gap(name: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", steps=1)
    add(folder / name, "{ [")
    pieces = report(tmp_path, str(folder))
    assert any(Path(name).name in gap for gap in read_json(pieces, "manifest")["runs"][0]["gaps"])


# --- watching and serving ---------------------------------------------------------------------------------------------


def test_watching_gives_what_writing_afresh_gives(tmp_path: Path) -> None:
    whole = make_run(tmp_path / "whole", steps=4)
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for step in (3, 4):
        (run / "rollouts" / f"{step}.jsonl").unlink()
    shutil.rmtree(run / "validation")
    told: list[str] = []
    later = iter(["rollouts/3.jsonl", "broken", "rollouts/4.jsonl", "validation", None])

    def goes_on() -> bool:
        name = next(later)
        if name == "broken":
            shutil.copy(run / "rollouts/3.jsonl", tmp_path / "good")
            with (run / "rollouts/3.jsonl").open("a") as stream:
                stream.write("broken\n")
        elif name is not None:
            if name == "rollouts/4.jsonl":
                shutil.copy(tmp_path / "good", run / "rollouts/3.jsonl")
            copy = shutil.copytree if name == "validation" else shutil.copy
            copy(whole / name, run / name)
        return name is not None

    present([str(run)], tmp_path / "report", None, "T", every_s=1, told=told.append, goes_on=goes_on)
    assert sum("responses" in words for words in told) == 4
    assert any("3.jsonl, line 17" in words for words in told)
    write_report([str(run)], tmp_path / "fresh", title="T")
    watched, fresh = read_report(tmp_path / "report"), read_report(tmp_path / "fresh")
    assert read_json(watched, "manifest")["watch"] == 1
    assert pieces_without_time(watched) == pieces_without_time(fresh)


def test_an_older_report_gives_way_whole(tmp_path: Path) -> None:
    two = [f"{name}={make_run(tmp_path / name, steps=2, seed=place)}" for place, name in enumerate("ab")]
    write_report(two, tmp_path / "report")
    (tmp_path / "b" / "rollouts" / "1.jsonl").write_text("broken\n")
    with pytest.raises(HicraError, match="1.jsonl, line 1"):
        write_report(two, tmp_path / "report")
    assert "rows/1/0" in read_report(tmp_path / "report")  # what was there is still there
    write_report(two[:1], tmp_path / "report")
    assert not any(name.startswith("rows/1") for name in read_report(tmp_path / "report"))
    assert sorted(path.name for path in (tmp_path / "report").iterdir())[1:] == ["data", "index.html", "plotly.js"]


def ask(address: str, path: str, **headers: str) -> tuple[int, bytes, Any]:
    port = int(address.split(":")[2].split("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


def test_serving(tmp_path: Path) -> None:
    write_report([str(make_run(tmp_path / "run", steps=1))], tmp_path / "report")
    (tmp_path / "report" / "data" / "other.txt").write_text("no")
    with serving(tmp_path / "report") as address:
        start = "/" + address.split("/", 3)[3]
        status, page, headers = ask(address, start)
        assert (status, page) == (200, (tmp_path / "report" / "index.html").read_bytes())
        assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"
        assert headers["Referrer-Policy"] == "no-referrer"
        piece = ask(address, start + "data/rows/0/0.js?t=1")
        assert piece[:2] == (200, (tmp_path / "report" / "data" / "rows" / "0" / "0.js").read_bytes())
        assert "javascript" in piece[2]["Content-Type"]
        for path in (
            "/", "/index.html", "/data/rows/0/0.js", start[:-2] + "/", start + "../run/metrics.jsonl", start + "data",
            start + "data/../../run/metrics.jsonl", start + "data/other.txt", start + ".hicra_report",
            start + "data/%2e%2e/x.js",
        ):  # fmt: skip
            assert ask(address, path)[0] == 404, path
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
            assert ask(address, start, **headers)[0] == 404
    with pytest.raises(OSError, match="refused"):
        ask(address, start)


def test_serving_while_it_is_written(tmp_path: Path) -> None:
    run, told, seen = make_run(tmp_path / "run", steps=1), [], threading.Event()

    def goes_on() -> bool:
        address = told[1].split()[1]
        assert ask(address, "/" + address.split("/", 3)[3])[0] == 200
        seen.set()
        return False

    present([str(run)], tmp_path / "page.html", None, "T", port=0, told=told.append, goes_on=goes_on)
    assert seen.is_set()
    with serving(tmp_path / "page.html") as address:
        port = int(address.split(":")[2].split("/")[0])
        with pytest.raises(HicraError, match="--port"):
            present([str(run)], tmp_path / "page.html", None, "T", port=port, told=told.append)
