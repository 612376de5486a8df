"""Finished runs: reading them with all their gaps, recomputing, drawing, the report, and the causes of errors."""

from __future__ import annotations

import csv
import json
import math
import random
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
import torch
from conftest import DATA
from fake_server import FakeServer
from typer.testing import CliRunner

from hicra_verl.analysis import errors as causes
from hicra_verl.analysis import forks
from hicra_verl.analysis.dynamics import coloured_pieces, recompute
from hicra_verl.analysis.recompute import measure
from hicra_verl.analysis.report import render
from hicra_verl.analysis.runs import Rollout, RunError, load_run, read_dump, split_label
from hicra_verl.cli import app
from hicra_verl.config import HicraConfig
from hicra_verl.grams import load_grams
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.training.measures import Facts
from hicra_verl.training.step import StepShaper

GRAMS = load_grams("paper")
PHRASES = ["so", "but wait", "let's try a different approach", "we can see that", "now", "x = 7", "2 + 2", "the answer"]


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choice(PHRASES) + rng.choice([",", ".", "", " and"]) for _ in range(rng.randint(3, 12)))


def make_run(folder: Path, steps: int = 6, seed: int = 0, prompts: int = 4, size: int = 4) -> Path:
    """A run's folder as verl leaves it."""
    rng = random.Random(seed)
    (folder / "rollouts").mkdir(parents=True)
    rows = []
    for step in range(1, steps + 1):
        dump = [
            {
                "input": f"problem {prompt}",
                "output": sentence(rng),
                "gts": "7",
                "score": float(rng.random() < step / steps),
                "step": step,
                "uid": f"{prompt}-{step}_{sample}_0",
            }
            for prompt in range(prompts)
            for sample in range(size)
        ]
        (folder / "rollouts" / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in dump))
        data = {
            "critic/score/mean": step / steps,
            "response_length/mean": 30.0 + step,
            "hicra/perplexity_planning_relative": 1 - step / 50,
            "hicra/perplexity_execution_relative": 1 - step / 100,
            "hicra/token_entropy_planning_nats": 1.0,
            "hicra/planning_high_entropy_share": 0.6,
            "hicra/high_entropy_planning_share": 0.05,
        }
        if step % 3 == 0:
            data["val-core/x/acc/mean@1"] = step / 10
        rows.append({"step": step, "data": data})
    (folder / "hicra_traces").mkdir()
    for step in (1, steps):
        trace = {
            "group": "g",
            "score": 1.0,
            "tokens": ["so", " x", " <b>"],
            "function": ["deduction", None, None],
            "entropy_nats": [1.0, None, 0.2],
            "advantage": [1.2, -1.0, float(step)],
        }
        (folder / "hicra_traces" / f"{step}.jsonl").write_text(json.dumps(trace) + "\n")
    (folder / "validation").mkdir()
    for step in (0, steps):
        held_out = [{"input": f"held out {n}", "output": sentence(rng), "gts": "7", "score": 1.0} for n in range(3)]
        (folder / "validation" / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held_out))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_texts_give_what_tokens_gave() -> None:
    """What `hicra dynamics` recomputes equals what the step logged, wherever text suffices."""
    rng = random.Random(1)
    texts = [sentence(rng) for _ in range(23)] + ["so now but \ufffdwe can see that it is \ufffd so"]
    scores = [float(rng.random() < 0.4) for _ in texts]
    groups = [f"g{number // 4}" for number in range(24)]
    table: list[bytes | None] = [bytes([value]) for value in range(256)]
    # The last response's tokens spelt bytes that are no character; decoding them wrote U+FFFD.
    ids = [list(text.encode().replace("\ufffd".encode(), b"\xe2\x80")) for text in texts]
    width = max(map(len, ids))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    shaper = StepShaper(HicraConfig(), GRAMS, GramMatcher(GRAMS, table))
    shaper.shape(torch.ones(tokens.shape), tokens, mask, Facts(scores=torch.tensor(scores), groups=groups))
    live = shaper.take_metrics(None)
    rollouts = [
        Rollout("p", text, "", score, group, str(number))
        for number, (text, score, group) in enumerate(zip(texts, scores, groups, strict=True))
    ]
    found, counts = measure(rollouts, TextMatcher(GRAMS))
    assert int(counts.sum()) > 20
    for name, value in found.items():
        assert live[f"hicra/{name}"] == pytest.approx(value, abs=1e-12), name
    assert {"semantic_entropy_nats", "conditional_entropy_nats", "pass@4", "distinct_grams"} <= set(found)


def test_no_gram_spans_two_responses() -> None:
    rollouts = [Rollout("p", text, "", 1.0, "g", text) for text in ("we", "can", "so", "but")]
    _, counts = measure(rollouts, TextMatcher(GRAMS))
    found = {GRAMS.grams[place].text for place in np.flatnonzero(counts)}
    assert found == {"so", "but"}


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_whole_run(tmp_path: Path) -> None:
    run = load_run(f"mine={make_run(tmp_path / 'run')}")
    assert (run.label, sorted(run.metrics), sorted(run.dumps)) == ("mine", [*range(1, 7)], [*range(1, 7)])
    assert run.gaps == []
    assert run.series("val-core/x/acc/mean@1") == ([3, 6], [0.3, 0.6])


def test_gaps_are_said(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "rollouts" / "3.jsonl").unlink()
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 6, "data": {"critic/score/mean": NaN, "other": 2.0}}\n{"step": 7, "da')
    whole = (folder / "rollouts" / "5.jsonl").read_text()
    (folder / "rollouts" / "5.jsonl").write_text(whole[:-20])
    run = load_run(str(folder))
    recompute(run, GRAMS)
    said = "; ".join(run.gaps)
    assert "critic/score/mean is nan at step 6" in said
    assert "metrics.jsonl: its last line is cut short" in said
    assert "no rollouts for 1 steps (3)" in said
    assert "5.jsonl: its last line is cut short" in said
    assert run.metrics[6]["critic/score/mean"] == 1.0  # the finite value logged before stays
    assert "hicra/semantic_entropy_nats" not in run.metrics[3]


def test_a_response_that_ends_at_once_counts_and_padding_does_not(tmp_path: Path) -> None:
    """verl's V1 trainer dumps the rows with which it fills a batch; they have a name of their own."""
    names = ["6f0c_0_0", "6f0c_1_0", f"pad{'0' * 32}_0_0"]
    rows = [{"input": "", "output": "", "gts": "1", "score": 0.0, "step": 1, "uid": name} for name in names]
    (tmp_path / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, _ = measure(read_dump(tmp_path / "1.jsonl"), TextMatcher(GRAMS))
    assert (found["pass@2"], found["responses_without_planning_fraction"]) == (0.0, 1.0)
    assert "pass@4" not in found


def test_a_label_holds_no_slash(tmp_path: Path) -> None:
    assert split_label("grpo=runs/a=1") == ("grpo", Path("runs/a=1"))
    assert split_label("runs/a=1") == ("a=1", Path("runs/a=1"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.jsonl", '{"x": 1}\n', r"line 1: not a line of verl's file logger"),
        ("metrics.jsonl", '{"step": 1, "data": {}}\nnonsense\n{"step": 2, "data": {}}\n', "line 2: not valid JSON"),
        ("rollouts/1.jsonl", '{"input": "a"}\n', "line 1: no field 'output'"),
        ("rollouts/1.jsonl", "[1]\n", "line 1: expected a JSON object"),
        ("nothing.txt", "", "holds neither metrics"),
    ],
)
def test_what_is_no_run(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(RunError, match=message):
        recompute(load_run(str(tmp_path)), GRAMS)


def test_exports(tmp_path: Path) -> None:
    (tmp_path / "wandb.csv").write_text(
        '"Step","tiny - critic/score/mean","tiny - critic/score/mean__MIN"\n1,0.5,0\n2,NaN,0\n'
    )
    run = load_run(f"a={tmp_path / 'wandb.csv'}")
    assert run.metrics == {1: {"critic/score/mean": 0.5}, 2: {}}
    assert run.gaps == ["critic/score/mean is nan at step 2"]
    (tmp_path / "length.csv").write_text("Wall time,Step,Value\n1.5,10,3\n")
    assert load_run(str(tmp_path / "length.csv")).metrics == {10: {"length": 3.0}}
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RunError, match="no column named Step"):
        load_run(str(tmp_path / "no.csv"))
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "tb")) as writer:
        writer.add_scalar("critic/score/mean", 0.25, 3)
    assert load_run(str(tmp_path / "tb")).metrics == {3: {"critic/score/mean": 0.25}}


def test_coloured_pieces_are_the_text() -> None:
    matcher = TextMatcher(GRAMS)
    text = "So let’s try a different approach — naïve, but we can see that 7"
    pieces = coloured_pieces(text, matcher)
    assert "".join(piece for piece, _ in pieces) == text
    marked = [piece for piece, function in pieces if function]
    assert marked == ["So", "let’s", "but", "we can see"]
    assert coloured_pieces("", matcher) == []


# --- drawing and the page ---------------------------------------------------------------------------------------------


def test_dynamics_draws_what_is_there(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "a", seed=0),
        make_run(tmp_path / "b", seed=1, steps=4),
        make_run(tmp_path / "c", seed=2),
    ]
    words = ["dynamics", f"hicra={runs[0]}", f"hicra={runs[1]}", f"grpo={runs[2]}", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    names = {path.stem for path in (tmp_path / "out").glob("*.png")}
    assert {
        "comparison",
        "dynamics_hicra",
        "forks_grpo",
        "distributions_grpo",
        "sensitivity_grpo",
        "trace_grpo",
    } <= names
    for name in names:
        for form in ("png", "pdf", "svg", "csv"):
            assert (tmp_path / "out" / f"{name}.{form}").stat().st_size > 50
    with (tmp_path / "out" / "comparison.csv").open() as stream:
        rows = [
            row
            for row in csv.DictReader(stream)
            if row["method"] == "hicra" and row["metric"] == "response_length/mean"
        ]
    # Runs of unequal length: two seeds where both are, one beyond.
    assert [(row["step"], row["seeds"]) for row in rows] == [(str(n), "2" if n <= 4 else "1") for n in range(1, 7)]
    with (tmp_path / "out" / "metrics.csv").open() as stream:
        assert {row["metric"] for row in csv.DictReader(stream)} >= {"hicra/semantic_entropy_nats", "hicra/pass@4"}


def test_another_gram_set_replaces_every_text_measure(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 1, "data": {"hicra/semantic_entropy_nats": 99.0}}\n')
    kept, replaced = load_run(str(folder)), load_run(str(folder))
    recompute(kept, GRAMS)
    recompute(replaced, GRAMS, replace=True)
    assert kept.metrics[1]["hicra/semantic_entropy_nats"] == 99.0
    assert replaced.metrics[1]["hicra/semantic_entropy_nats"] < 5


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    return found


def test_the_report_works_in_a_browser(tmp_path: Path) -> None:
    """Opened offline in a real browser: charts drawn, no error, the step slider and the colour switch work."""
    page = tmp_path / "report.html"
    done = CliRunner().invoke(app, ["report", f"tiny={make_run(tmp_path / 'run')}", "-o", str(page)])
    assert done.exit_code == 0, done.output
    probe = """
<script>
window.addEventListener("load", () => {
  const slider = document.getElementById("step");
  const shown = () => document.getElementById("responses").textContent;
  const before = shown(), step = document.getElementById("shown").textContent;
  slider.value = slider.max; slider.dispatchEvent(new Event("input"));
  const moved = document.getElementById("shown").textContent !== step;
  const mark = document.querySelector("#responses mark");
  const colour = getComputedStyle(mark).backgroundColor;
  document.getElementById("coloured").click();
  const plain = getComputedStyle(mark).backgroundColor;
  document.getElementById("coloured").click();
  const spans = () => [...document.querySelectorAll("#tokens span")];
  const painted = () => spans().map((span) => span.style.background).join();
  const modes = ["entropy", "advantage", "function"].map((name) => {
    const mode = document.getElementById("mode");
    mode.value = name; mode.dispatchEvent(new Event("change"));
    return painted();
  });
  const tokenSlider = document.getElementById("tokenstep"), first = document.getElementById("tokenshown").textContent;
  tokenSlider.value = 1; tokenSlider.dispatchEvent(new Event("input"));
  const tokenMoved = first !== document.getElementById("tokenshown").textContent;
  document.body.setAttribute("data-probe", JSON.stringify({
    charts: document.querySelectorAll(".chart .main-svg").length,
    lines: document.querySelectorAll(".scatterlayer .trace").length,
    prompts: document.querySelectorAll("#prompt option").length,
    moved, modes, tokenMoved, changed: before !== shown(), colour, plain,
    wide: document.documentElement.scrollWidth - window.innerWidth, errors: window.seen,
  }));
});
</script>"""
    head = "<script>window.seen = []; window.addEventListener('error', (e) => window.seen.push(e.message));</script>"
    text = page.read_text(encoding="utf-8").replace("<head>", "<head>" + head, 1)
    probed = tmp_path / "probed.html"
    probed.write_text(text.replace("</body>", probe + "</body>"), encoding="utf-8")
    for width in (1200, 390):
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--window-size={width},900",
        ]
        words = [chromium(), *flags, "--virtual-time-budget=20000", "--dump-dom", probed.as_uri()]
        dumped = subprocess.run(words, capture_output=True, text=True, timeout=180)
        found = re.search(r'data-probe="([^"]*)"', dumped.stdout)
        assert found, dumped.stderr[-2000:]
        state = json.loads(found.group(1).replace("&quot;", '"'))
        assert state["errors"] == []
        assert state["charts"] >= 6
        assert state["lines"] >= 10
        assert state["prompts"] == 4 + 3
        assert state["moved"]
        assert state["tokenMoved"]
        assert len(set(state["modes"])) == 3  # three ways to colour the same tokens
        assert state["changed"]
        assert state["colour"] != state["plain"]
        assert state["wide"] <= 0  # nothing to scroll sideways, on a phone either


def test_a_response_cannot_break_the_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", steps=1)
    text = "so </script><script>alert(1)</script>"
    row = {"input": "<b>&", "output": text, "gts": "", "score": 1.0, "uid": "p_0_0"}
    (folder / "rollouts" / "1.jsonl").write_text(json.dumps(row) + "\n")
    run = load_run(str(folder))
    page = render([run], [recompute(run, GRAMS)], GRAMS, "<title>")
    assert "<script>alert" not in page
    assert "&lt;title&gt;" in page


# --- causes of errors -------------------------------------------------------------------------------------------------


def test_letters_and_counts() -> None:
    texts = [r"… \boxed{B}", r"\boxed{\text{C}}", r"\boxed{(A)}", r"\boxed{E}", "B"]
    assert [causes.letter_of(text) for text in texts] == ["B", "C", "A", "?", "?"]
    failures = [causes.Failure(step, "p", "r", str(number)) for step in (1, 2) for number in range(4)]
    rows = causes.counts_by_step(failures, list("ABCD" + "CC?D"))
    assert rows[0] == {
        "step": 1, "failures": 4, "A": 1, "B": 1, "C": 1, "D": 1, "?": 0, "Others": 2, "Planning & Strategy": 1,
        "grading_miss_rate": 0.25,
    }  # fmt: skip
    assert (rows[1]["Planning & Strategy"], rows[1]["Others"], rows[1]["grading_miss_rate"]) == (
        2,
        0,
        pytest.approx(1 / 3),
    )


def test_kappa_by_hand() -> None:
    # Cohen's textbook table: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no.
    first, second = "y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15
    assert causes.cohen_kappa(first, second) == pytest.approx(0.4)
    assert causes.cohen_kappa("ab", "ab") == 1.0
    assert math.isnan(causes.cohen_kappa("aa", "aa"))
    with pytest.raises(ValueError, match="not of the same failures"):
        causes.cohen_kappa("a", "ab")


def opinion(body: dict[str, Any]) -> str:
    """A judge that is the same about the same text."""
    letter = "ABCD"[sum(body["messages"][0]["content"].encode()) % 4]
    return f"Because. \\boxed{{{letter}}}"


def test_errors_on_real_failures_with_faults(tmp_path: Path) -> None:
    """200 real failed GSM8K rollouts: nothing lost, nothing asked twice, whatever the server does."""
    source = DATA / "rollouts" / "gsm8k_four_models.jsonl"
    if not source.exists():
        pytest.skip(f"real rollouts absent: {source}")
    faults = {5: "429", 9: "500", 20: "hang", 33: "malformed", 60: "500"}
    # The 121st request and all later ones fail: the command ends, and the next one goes on.
    server = FakeServer(opinion, lambda n: "500" if 120 < n < 10_000 else faults.get(n))
    words = ["errors", str(source), "--base-url", server.url, "--judge", "j", "-o", str(tmp_path / "out")]
    words += ["--per-step", "200", "--concurrency", "4", "--timeout-s", "2"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "Every answer so far is saved" in done.output
    kept = causes.load_verdicts(tmp_path / "out" / "answers.jsonl")
    assert len(kept) == len(server.asked)
    assert 100 <= len(kept) < 200
    asked = list(server.asked)
    server.close()
    with (tmp_path / "out" / "answers.jsonl").open("ab") as stream:
        stream.write(b'{"key": "cut sho')  # as a kill in the middle of a line leaves it

    server = FakeServer(opinion)
    words[words.index("--base-url") + 1] = server.url
    done = CliRunner().invoke(app, [*words, "--repeats", "2"])
    assert done.exit_code == 0, done.output
    asked += server.asked
    assert len(asked) == 400  # 200 failures, each judged twice
    assert set(Counter((body["messages"][0]["content"], body["seed"]) for body in asked).values()) == {1}
    assert "kappa 1.00" in done.output
    result = json.loads((tmp_path / "out" / "errors.json").read_text())
    (row,) = result["judges"]["j #1"]
    assert row["failures"] == 200
    assert row["A"] + row["B"] == row["Others"]
    assert (tmp_path / "out" / "errors.png").exists()
    done = CliRunner().invoke(app, [*words, "--repeats", "2"])  # all cached: asks nothing
    assert done.exit_code == 0
    assert len(server.asked) == 400 - len(kept)
    server.close()


def test_failures_of_a_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    failures = causes.load_failures(str(folder), [1, 2], 3)
    assert [failure.step for failure in failures] == [1] * 3 + [2] * 3
    with pytest.raises(RunError, match="no failed response of the steps"):
        causes.load_failures(str(folder), [6], 3)
    (tmp_path / "x.jsonl").write_text('{"problem": "p", "response": "r"}\n')
    with pytest.raises(RunError, match="neither 'correct' nor 'score'"):
        causes.load_failures(str(tmp_path / "x.jsonl"), None, 3)
    long = causes.question(causes.Failure(0, "p", "r", "x" * 100_000))
    assert "characters left out" in long
    assert len(long) < 65_000


def test_dump_without_uids_groups_by_prompt(tmp_path: Path) -> None:
    rows = [{"input": prompt, "output": "so", "score": 1.0} for prompt in "aab"]
    (tmp_path / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [rollout.group for rollout in read_dump(tmp_path / "1.jsonl")] == ["a", "a", "b"]


# --- forks ------------------------------------------------------------------------------------------------------------


def test_portions_by_hand() -> None:
    entropy = np.array([4.0, 3.0, 0.1, 0.2, 0.0, 2.0, 0.3, 0.1, 0.1, 0.2])
    planning = np.array([True, False, True, False, False, True, False, False, False, False])
    function = np.where(planning, 0, -1)
    function[2] = 2
    one = forks.TokenTrace(["x"] * 10, entropy, planning, function)
    found = forks.portions([one], 0.3)  # 4.0, 3.0, 2.0
    assert found["planning_high_entropy_share"] == pytest.approx(2 / 3)
    assert found["high_entropy_planning_share"] == pytest.approx(2 / 3)
    assert found["deduction_high_entropy_share"] == 1.0
    assert found["backtracing_high_entropy_share"] == 0.0
    assert math.isnan(found["branching_high_entropy_share"])
    low, high = forks.interval([one, one], 0.3)["planning_high_entropy_share"]
    assert low == high == pytest.approx(2 / 3)
    assert "underlined" in forks.render([one], "t")


def test_forks_with_a_model(tmp_path: Path) -> None:
    """Entropies against the definition, token by token, and the command."""
    tokenizer = tiny_model.train_tokenizer(["so we can see that 2 + 2 is 4, but wait, let's try 7."] * 3)
    torch.manual_seed(0)
    model = tiny_model.new_model(tokenizer).eval()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    prompt, response = "2 + 2", "so we can see that 4"
    ((ids, entropy),) = forks.token_entropies(model, tokenizer, [(prompt, response), (prompt, "")], 0.7)
    before = tokenizer(prompt)["input_ids"]
    for place in range(len(ids)):
        with torch.no_grad():
            logits = model(torch.tensor([[*before, *ids[:place]]])).logits[0, -1] / 0.7
        probabilities = torch.softmax(logits.double(), dim=-1)
        expected = -sum(p * math.log(p) for p in probabilities.tolist())
        assert entropy[place] == pytest.approx(expected, abs=1e-4)
    rows = [{"problem": prompt, "response": response}, {"input": prompt, "output": "but wait, 7"}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["forks", str(tmp_path / "r.jsonl"), "--model", str(tmp_path / "model"), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "Paper, at the top 30%" in done.output
    with (tmp_path / "out" / "forks.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 4 * 6
    assert "deduction" in (tmp_path / "out" / "forks.html").read_text()
