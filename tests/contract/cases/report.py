"""`hicra report`."""

from __future__ import annotations

import html.parser
import json
from pathlib import Path
from typing import Any

from bad_input import Case
from made_up_reports import read_json, read_report, rows_of
from small_runs import METRICS, RUN, dump, link, logged, trace, without

DEEP = "[" * 100_000 + "]" * 100_000
EVIL = "</script><script>window.evil=1</script><img src=x onerror=window.evil=1>"


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen += [(tag, name) for name, _ in attrs] or [(tag, "")]


def page_data(folder: Path, name: str = "report.html") -> dict[str, Any]:
    """The pieces that the page's script reads, all but those of numbers."""
    pieces = read_report(folder / name)
    assert pieces, "no pieces in the page"
    blobs = ("rows", "words", "holds")
    return {name: read_json(pieces, name) for name in pieces if name.partition("/")[0] not in blobs}


def inert(folder: Path, printed: str) -> None:
    """No tag of a response's, a label's or a file name's is a tag of the page's."""
    page_data(folder)
    tags = _Tags()
    tags.feed((folder / "report.html").read_text(encoding="utf-8"))
    assert not any(tag == "img" or name.startswith("on") for tag, name in tags.seen)
    assert {name for tag, name in tags.seen if tag == "script"} == {"", "type", "data-piece"}
    assert tags.seen.count(("script", "")) == 2  # plotly and the page's own


def says_gap(text: str) -> Any:
    def check(folder: Path, printed: str) -> None:
        assert any(text in gap for run in page_data(folder)["manifest"]["runs"] for gap in run["gaps"])

    return check


def hides(*secrets: str) -> Any:
    def check(folder: Path, printed: str) -> None:
        page = (folder / "report.html").read_bytes() + b"".join(read_report(folder / "report.html").values())
        for secret in secrets:
            assert secret.encode() not in page
        [shown] = page_data(folder)["configuration"]
        assert "data.max_prompt_tokens=512" in shown["command"]
        assert shown["settings"]["data.max_prompt_tokens"] == "512"
        assert "[hidden]" in shown["command"]

    return check


def bad_run(name: str, files: dict[str, Any], *says: str, **more: Any) -> Case:
    return Case(name, ["report", "run"], says, files, **more)


def run_names(*names: str) -> Any:
    def check(folder: Path, printed: str) -> None:
        data = page_data(folder)
        drawn = {metric for chart in data["manifest"]["charts"] for metric, _ in chart["lines"]}
        lines = {
            run["name"] for place, run in enumerate(data["manifest"]["runs"]) if drawn & set(data["curves"][str(place)])
        }
        assert lines == set(names)

    return check


def missing_steps(folder: Path, printed: str) -> None:
    says_gap("no metrics for 999999999998 steps (2, 3, 4, 5, 6, …)")(folder, printed)


def first_line(folder: Path, printed: str) -> None:
    scores = rows_of(read_report(folder / "report.html"), 0)["score"]
    assert any(score != score for score in scores)
    says_gap("2 of 3 responses have no score")(folder, printed)


TWO = {"z1/run/metrics.jsonl": METRICS, "z2/run/metrics.jsonl": METRICS}
COMMAND = (
    "python -m x trainer.logger=[console] data.max_prompt_tokens=512 --api-key KEY1VALUE --password='PW2 VALUE' "
    'WANDB_API_KEY=KEY3VALUE +hf_token=KEY4VALUE {"api_key": "KEY5VALUE"} https://user:PW6VALUE@host/v1 '
    "-H 'Authorization: Bearer KEY7VALUE' sk-KEY8VALUEKEY8VALUE"
)

CASES = [
    # What is no run.
    Case("no such run", ["report", "absent"], ("absent", "no such run")),
    Case("no run given", ["report"], ("Missing argument",)),
    Case("an empty folder", ["report", "run"], ("run", "trainer.rollout_data_dir"), {"run/x/.keep": ""}),
    Case("a label and no path", ["report", "a="], ("holds neither metrics",)),
    Case("an empty label", ["report", "=run"], ("label", "empty"), RUN),
    Case("a label too long for a file", ["report", f"{'x' * 300}=run"], ("too long",), RUN),
    Case("a home of nobody", ["report", "~nobody-at-all/run"], ("no such home folder",)),
    Case("a run twice", ["report", "a=run", "b=run"], ("given twice",), RUN),
    Case(
        "a run twice, once through a link",
        ["report", "run", "other"],
        ("given twice",),
        RUN,
        prepare=link("other", "run"),
    ),
    Case(
        "a label that is another run's name",
        ["report", "a=z1/run", "a=z2/run", "a_1=run"],
        ("called a_1",),
        {**TWO, **RUN},
    ),
    Case("a file of another kind", ["report", "run.txt"], ("run.txt", ".jsonl"), {"run.txt": "hello"}),
    Case(
        "a folder with an equals sign in its name",
        ["report", "lr=1"],
        ("1 runs",),
        {"lr=1/metrics.jsonl": METRICS},
        code=0,
        after=run_names("lr=1"),
    ),
    Case("a link to itself", ["report", "loop"], ("loop", "no such run"), prepare=link("loop", "loop")),
    Case(
        "a dump that is a link to itself",
        ["report", "run"],
        ("1.jsonl",),
        RUN | {"run/rollouts/1.jsonl": ""},
        prepare=lambda folder: (
            (folder / "run/rollouts/1.jsonl").unlink(),
            link("run/rollouts/1.jsonl", "1.jsonl")(folder),
        )[1],
    ),
    # Runs of one name.
    *(
        Case(name, ["report", *words], ("2 runs",), TWO, code=0, after=run_names(*names))
        for name, words, names in (
            ("two folders of one name", ["z1/run", "z2/run"], ["z1_run", "z2_run"]),
            ("seeds of one label", ["a=z1/run", "a=z2/run"], ["a_1", "a_2"]),
            ("a name that is another's label", ["run=z1/run", "z2/run"], ["run", "z2_run"]),
        )
    ),
    # Metrics.
    bad_run("metrics that are no JSON", {"run/metrics.jsonl": METRICS + "?\n" + METRICS}, "line 3", "not valid JSON"),
    bad_run("metrics nested too deep", {"run/metrics.jsonl": DEEP + "\n"}, "metrics.jsonl, line 1", "nested too deep"),
    bad_run("metrics in UTF-16", {"run/metrics.jsonl": METRICS.encode("utf-16")}, "line 1", "save the file as UTF-8"),
    bad_run("metrics in Latin-1", {"run/metrics.jsonl": b'{"step": 1, "data": {"\xe9": 1}}\n'}, "UTF-8"),
    bad_run("a step that is a text", {"run/metrics.jsonl": '{"step": "1", "data": {}}\n'}, "line 1", "file logger"),
    bad_run("a step that is true", {"run/metrics.jsonl": '{"step": true, "data": {}}\n'}, "line 1"),
    bad_run("a step below zero", {"run/metrics.jsonl": '{"step": -1, "data": {}}\n'}, "line 1", "step"),
    bad_run("a step beyond 64 bits", {"run/metrics.jsonl": f'{{"step": {10**30}, "data": {{}}}}\n'}, "line 1", "step"),
    bad_run(
        "a step of a trillion",
        {"run/metrics.jsonl": METRICS + '{"step": 1000000000000, "data": {"a": 1}}\n'},
        code=0,
        after=says_gap("steps (3, 4, 5, 6, 7, …)"),
    ),
    bad_run(
        "two steps a trillion apart",
        {
            "run/metrics.jsonl": '{"step": 1, "data": {"a": 1}}\n{"step": 2, "data": {"a": 1}}\n'
            '{"step": 1000000000001, "data": {"a": 1}}\n'
        },
        code=0,
        after=says_gap("no metrics for 999999999998 steps"),
    ),
    bad_run(
        "metrics that are texts and lists",
        {
            "run/metrics.jsonl": logged(
                '{"critic/score/mean": "high", "a": [1], "b": {"c": 1}, "d": null, "hicra/planning_fraction": 0.5}'
            )
        },
        code=0,
        after=run_names(),
    ),
    bad_run(
        "metrics that are NaN and infinite",
        {
            "run/metrics.jsonl": logged(
                '{"critic/score/mean": NaN}', '{"critic/score/mean": -Infinity}', '{"critic/score/mean": 1}'
            )
        },
        code=0,
        after=says_gap("critic/score/mean is nan at step 1"),
    ),
    bad_run(
        "a metric of 400 digits",
        {"run/metrics.jsonl": logged(f'{{"critic/score/mean": 1{"0" * 400}}}', '{"a": 1}')},
        code=0,
        after=says_gap("critic/score/mean is a huge number at step 1"),
    ),
    bad_run(
        "a metric of 10,000 digits",
        {"run/metrics.jsonl": logged('{"a": 1}', f'{{"a": {"1" * 10_000}}}')},
        "line 2",
        "digits",
    ),
    bad_run(
        "a last line cut short",
        {"run/metrics.jsonl": METRICS + '{"step": 3, "da'},
        code=0,
        after=says_gap("its last line is cut short"),
    ),
    bad_run(
        "markup in a metric's name",
        {"run/metrics.jsonl": logged(json.dumps({f"val-core/{EVIL}/acc/mean@1": 1.0}))},
        code=0,
        after=inert,
    ),
    bad_run(
        "half a character in a metric's name",
        {"run/metrics.jsonl": logged('{"val-core/\\ud83d/acc/mean@1": 1.0}')},
        code=0,
        after=inert,
    ),
    # Exports.
    Case(
        "an export in UTF-16",
        ["report", "run.csv"],
        ("run.csv", "UTF-8"),
        {"run.csv": "Step,a\n1,2\n".encode("utf-16")},
    ),
    Case(
        "an export with a huge cell",
        ["report", "run.csv"],
        ("run.csv", "field larger"),
        {"run.csv": "Step,a\n1," + "x" * 200_000 + "\n"},
    ),
    Case(
        "an export with a step of infinity",
        ["report", "run.csv"],
        ("line 2", "no step"),
        {"run.csv": "Step,a\ninf,2\n"},
    ),
    Case("an export with an odd digit", ["report", "run.csv"], ("line 2", "no step"), {"run.csv": "Step,a\n²,2\n"}),
    Case(
        "an export with longer rows",
        ["report", "run.csv"],
        (),
        {"run.csv": "Step,critic/score/mean\n1,2,3,4\n"},
        code=0,
    ),
    Case("an export without rows", ["report", "run.csv"], ("holds neither metrics",), {"run.csv": "Step,a\n"}),
    Case("an empty export", ["report", "run.csv"], ("no column named Step",), {"run.csv": ""}),
    Case(
        "events of TensorBoard that are none",
        ["report", "run"],
        ("holds neither metrics",),
        {"run/events.out.tfevents.1": b"\x00\x01garbage" * 30},
    ),
    # Rollouts.
    bad_run(
        "a score that is null or NaN",
        {
            "run/rollouts/1.jsonl": dump(
                {}, {"score": None, "output": "but wait"}, {"score": float("nan"), "output": "so"}
            )
        },
        code=0,
        after=first_line,
    ),
    bad_run(
        "every score null", {"run/rollouts/1.jsonl": dump({"score": None})}, code=0, after=says_gap("1 of 1 responses")
    ),
    bad_run("a score that is a text", {"run/rollouts/1.jsonl": dump({"score": "0.5"})}, "line 1", "'score'"),
    bad_run("a score that is infinite", {"run/rollouts/1.jsonl": dump({"score": float("inf")})}, "line 1", "'score'"),
    bad_run("a response that is a list", {"run/rollouts/1.jsonl": dump({"output": ["a"]})}, "line 1", "'output'"),
    bad_run(
        "a response with half a character", {"run/rollouts/1.jsonl": dump({"output": "so \ud83d"})}, "line 1", "half"
    ),
    bad_run("rollouts nested too deep", {"run/rollouts/1.jsonl": DEEP + "\n"}, "1.jsonl, line 1", "nested too deep"),
    bad_run("a dump that is empty", {**RUN, "run/rollouts/3.jsonl": ""}, code=0),
    bad_run("a dump named by an odd digit", {**RUN, "run/rollouts/².jsonl": dump({})}, code=0),
    bad_run("a dump named by 30 digits", {**RUN, f"run/rollouts/{'9' * 30}.jsonl": dump({})}, code=0),
    bad_run("a dump that is a folder", {"run/metrics.jsonl": METRICS, "run/rollouts/1.jsonl/x": ""}, "1.jsonl"),
    bad_run(
        "markup in a response",
        {"run/rollouts/1.jsonl": dump({"output": f"so {EVIL} but wait", "input": EVIL})},
        code=0,
        after=inert,
    ),
    bad_run(
        "places of the page in a response",
        {
            "run/rollouts/1.jsonl": dump(
                {"output": "so @@PLOTLY@@ @@DATA@@ \\u003c \u2028\u0085", "input": "@@PLOTLY@@"}
            )
        },
        code=0,
        after=inert,
    ),
    # Traces.
    bad_run(
        "a trace with a NaN",
        {**RUN, "run/hicra_traces/1.jsonl": trace(advantage=[float("nan"), 1e999])},
        code=0,
        after=inert,
    ),
    bad_run(
        "a trace that lacks a list", {**RUN, "run/hicra_traces/1.jsonl": trace(advantage=[1.0])}, "line 1", "advantage"
    ),
    bad_run("a trace of texts", {**RUN, "run/hicra_traces/1.jsonl": trace(entropy_nats=["a", "b"])}, "entropy_nats"),
    bad_run("a trace of no tokens", {**RUN, "run/hicra_traces/1.jsonl": trace(tokens=7)}, "line 1", "tokens"),
    bad_run(
        "a trace of unknown functions", {**RUN, "run/hicra_traces/1.jsonl": trace(function=[EVIL, None])}, "function"
    ),
    bad_run("a trace of no object", {**RUN, "run/hicra_traces/1.jsonl": "[1]\n"}, "line 1", "JSON object"),
    # What is copied into the page.
    bad_run(
        "keys and passwords in the command",
        {**RUN, "run/command.txt": COMMAND},
        code=0,
        after=hides("KEY1VALUE", "PW2", "KEY3VALUE", "KEY4VALUE", "KEY5VALUE", "PW6VALUE", "KEY7VALUE", "KEY8VALUE"),
    ),
    bad_run("a command of other bytes", {**RUN, "run/command.txt": b"\xff\xfe\x00x" * 9}, code=0, after=inert),
    bad_run("a command that is a folder", {**RUN, "run/command.txt/x": ""}, code=0, after=inert),
    bad_run("markup in the command", {**RUN, "run/command.txt": EVIL + "@@DATA@@"}, code=0, after=inert),
    Case("markup in the title", ["report", "run", "--title", EVIL + " @@DATA@@"], (), RUN, code=0, after=inert),
    Case("markup in a label", ["report", "<img src onerror>$x^$ 🎲=run"], (), RUN, code=0, after=inert),
    Case(
        "markup in a file's name",
        ["report", "<img src=x onerror=x>.csv"],
        (),
        {"<img src=x onerror=x>.csv": "Step,critic/score/mean\n1,2\n3,nan\n"},
        code=0,
        after=inert,
    ),
    Case("a run and its metrics", ["report", "a=run", "a=run/metrics.jsonl"], ("given twice", "two seeds"), RUN),
    Case("a run and its rollouts", ["report", "a=run", "b=run/rollouts"], ("given twice", "run/rollouts/1.jsonl"), RUN),
    # The gram set.
    Case("no such gram set", ["report", "run", "--grams", "absent.json"], ("absent.json",), RUN),
    # Where it is written.
    Case("an output that is a folder", ["report", "run", "-o", "out"], ("out", "is a folder"), {**RUN, "out/x": ""}),
    Case("an output in no folder", ["report", "run", "-o", "no/page.html"], ("mkdir -p",), RUN, absent=("no",)),
    Case("an output in no folder, before the run is read", ["report", "absent", "-o", "no/page.html"], ("mkdir -p",)),
    Case("an output on a full device", ["report", "run", "-o", "/dev/full"], ("No space left",), RUN),
    Case("an output that is a device", ["report", "run", "-o", "/dev/null"], (), RUN, code=0),
    Case("an output under /proc", ["report", "run", "-o", "/proc/1/page.html"], ("/proc/1/page.html",), RUN),
    Case(
        "an output on a nearly full disk",
        ["report", "run", "-o", "page.html"],
        ("page.html", "what was there before"),
        {**RUN, "page.html": "the old page"},
        kept=("page.html",),
        file_limit=100_000,
    ),
    Case(
        "an output that is its own input",
        ["report", "run", "-o", "run/metrics.jsonl"],
        ("run/metrics.jsonl", "would replace the input"),
        RUN,
        kept=("run/metrics.jsonl",),
    ),
    Case(
        "an output that is one of its rollouts",
        ["report", "run", "-o", "run/rollouts/1.jsonl"],
        ("would replace the input",),
        RUN,
        kept=("run/rollouts/1.jsonl",),
    ),
    Case(
        "an output that is its command",
        ["report", "run", "-o", "run/command.txt"],
        ("would replace the input",),
        {**RUN, "run/command.txt": "hicra train"},
        kept=("run/command.txt",),
    ),
    Case(
        "an output that is the gram set",
        ["report", "run", "--grams", "g.json", "-o", "g.json"],
        ("would replace the input",),
        {**RUN, "g.json": '{"schema_version": 1, "name": "g", "grams": [{"text": "so", "function": "other"}]}'},
        kept=("g.json",),
    ),
    Case(
        "an output that is a link to itself",
        ["report", "run", "-o", "loop"],
        ("loop",),
        RUN,
        prepare=link("loop", "loop"),
    ),
    # Packages.
    Case(
        "plotly is not installed",
        ["report", "run"],
        ("plotly", "hicra-verl[analysis]"),
        RUN,
        absent=("report.html",),
        prepare=without("plotly", unload="hicra_verl.report"),
    ),
    Case(
        "matplotlib is not installed, nor needed",
        ["report", "run"],
        ("1 runs",),
        RUN,
        code=0,
        prepare=without("matplotlib", unload="hicra_verl.report"),
    ),
]
