"""Finished runs: reading them with all their gaps, recomputing, and drawing."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_runs import make_run, sentence
from typer.testing import CliRunner

from hicra_verl.analysis.recompute import measure, recompute
from hicra_verl.analysis.runs import RunError, load_run, load_runs, split_label
from hicra_verl.cli import app
from hicra_verl.config import HicraConfig
from hicra_verl.errors import HicraError
from hicra_verl.grams import load_grams
from hicra_verl.grams.functions import coloured_pieces
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.table import metric_named
from hicra_verl.training.step import StepShaper
from hicra_verl.verl_formats.dumps import Rollout, read_dump

GRAMS = load_grams("paper")


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
    shaper.shape(torch.ones(tokens.shape), tokens, mask, scores=torch.tensor(scores), groups=groups)
    live = shaper.take_metrics(None)
    rollouts = [
        Rollout("p", text, "", score, group, str(number))
        for number, (text, score, group) in enumerate(zip(texts, scores, groups, strict=True))
    ]
    found, counts = measure(rollouts, TextMatcher(GRAMS))
    assert int(counts.sum()) > 20
    for name, value in found.items():
        assert live[f"hicra/{name}"] == pytest.approx(value, abs=1e-12), name
    alone = {name for name in live if (metric := metric_named(name)) and metric.texts}
    assert alone == {f"hicra/{name}" for name in found} | {"hicra/conditional_entropy_change_nats"}


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
        (
            "metrics.jsonl",
            '{"step": 1, "data": {}}\nnonsense\n{"step": 2, "data": {}}\n',
            "line 2: column 1: not valid JSON",
        ),
        ("rollouts/1.jsonl", '{"input": "a"}\n', "line 1: no field 'output'"),
        ("rollouts/1.jsonl", "[1]\n", "line 1: expected a JSON object"),
        ("nothing.txt", "", "holds neither metrics"),
    ],
)
def test_what_is_no_run(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(HicraError, match=message):
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


def test_dump_without_uids_groups_by_prompt(tmp_path: Path) -> None:
    rows = [{"input": prompt, "output": "so", "score": 1.0} for prompt in "aab"]
    (tmp_path / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [rollout.group for rollout in read_dump(tmp_path / "1.jsonl")] == ["a", "a", "b"]


def test_coloured_pieces_are_the_text() -> None:
    matcher = TextMatcher(GRAMS)
    text = "So let’s try a different approach — naïve, but we can see that 7"
    pieces = coloured_pieces(text, matcher)
    assert "".join(piece for piece, _ in pieces) == text
    marked = [piece for piece, function in pieces if function]
    assert marked == ["So", "let’s", "but", "we can see that"]  # two grams that overlap
    assert coloured_pieces("", matcher) == []


# --- drawing and the page ---------------------------------------------------------------------------------------------


def test_dynamics_draws_what_is_there(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "a", seed=0),
        make_run(tmp_path / "b", seed=1, steps=4),
        make_run(tmp_path / "c", seed=2),
    ]
    words = ["dynamics", f"hicra={runs[0]}", f"hicra={runs[1]}", f"grpo={runs[2]}", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    names = {path.stem for path in (tmp_path / "out").glob("*.png")}
    assert {
        "comparison",
        "dynamics_hicra_1",
        "dynamics_hicra_2",
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
        rows = list(csv.DictReader(stream))
    assert {row["metric"] for row in rows} >= {"hicra/semantic_entropy_nats", "hicra/pass@4"}
    # Each seed's numbers are there, and told apart.
    lengths = {(row["run"], row["step"]) for row in rows if row["metric"] == "response_length/mean"}
    assert len(lengths) == 6 + 4 + 6
    assert "the panel 'Pass@8 on training rollouts' is blank (logged in none of these runs)" in done.output


def test_a_blank_panel_is_said(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row["data"] = {name: value for name, value in row["data"].items() if not name.startswith(("hicra", "val-core"))}
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = CliRunner().invoke(app, ["dynamics", f"grpo={folder}", "-o", str(tmp_path / "out")], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    for panel in ("relative perplexity (1 at the first step)", "token entropy (nats)", "held-out accuracy"):
        assert f"the panel {panel!r} is blank" in done.output


def test_runs_that_would_be_taken_for_each_other(tmp_path: Path) -> None:
    for name in "abc":
        make_run(tmp_path / name, steps=1)
    a, b, c = (str(tmp_path / name) for name in "abc")
    assert [run.name for run in load_runs([f"x={a}", b, f"x={c}"])] == ["x_1", "b", "x_2"]
    with pytest.raises(RunError, match="given twice"):
        load_runs([f"x={a}", f"y={a}"])
    with pytest.raises(RunError, match="two runs would be called x_1"):
        load_runs([f"x={a}", f"x={b}", f"x_1={c}"])


def test_another_gram_set_replaces_every_text_measure(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 1, "data": {"hicra/semantic_entropy_nats": 99.0}}\n')
    kept, replaced = load_run(str(folder)), load_run(str(folder))
    recompute(kept, GRAMS)
    recompute(replaced, GRAMS, replace=True)
    assert kept.metrics[1]["hicra/semantic_entropy_nats"] == 99.0
    assert replaced.metrics[1]["hicra/semantic_entropy_nats"] < 5
