"""`hicra report`: one page that opens offline, with the curves, the configuration, the grams and the traces of runs."""

from __future__ import annotations

import html
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from hicra_verl.analysis.dynamics import coloured_pieces
from hicra_verl.analysis.recompute import StepTexts
from hicra_verl.analysis.runs import Run, read_dump
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.version import __version__

PROMPTS = 12  # of each run, those seen at most steps first
RESPONSES = 2  # of each prompt and step: the best and the worst

CHARTS: dict[str, list[tuple[str, str]]] = {
    "Reward and accuracy": [("critic/score/mean", "training reward"), ("val-core/", "held-out accuracy")],
    "Relative perplexity (1 at the first step)": [
        ("hicra/perplexity_planning_relative", "planning"),
        ("hicra/perplexity_execution_relative", "execution"),
    ],
    "Token entropy (nats)": [
        ("hicra/token_entropy_planning_nats", "planning"),
        ("hicra/token_entropy_execution_nats", "execution"),
    ],
    "Diversity of plans (nats)": [
        ("hicra/semantic_entropy_nats", "semantic entropy"),
        ("hicra/semantic_entropy_corrected_nats", "corrected for sample size"),
        ("hicra/conditional_entropy_nats", "words after a gram"),
    ],
    "Pass@k on training prompts": [
        ("hicra/pass@1", "pass@1"),
        ("hicra/pass@8", "pass@8"),
        ("hicra/any_correct", "any"),
    ],
    "Planning tokens by function": [
        (f"hicra/planning_fraction_{name}", name) for name in ("deduction", "branching", "backtracing", "other")
    ],
    "Planning and high-entropy tokens": [
        ("hicra/planning_high_entropy_share", "planning that is high-entropy"),
        ("hicra/high_entropy_planning_share", "high-entropy that is planning"),
    ],
    "Response length (tokens)": [("response_length/mean", "mean"), ("response_length/max", "longest")],
}


def chart_data(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every chart with a line for each run and metric that was logged; charts without any line are left out."""
    charts = []
    for title, metrics in CHARTS.items():
        lines = []
        for run in runs:
            for metric, label in metrics:
                for name in sorted({name for data in run.metrics.values() for name in data}):
                    wanted = name.startswith(metric) and "/acc/" in name if metric.endswith("/") else name == metric
                    if wanted:
                        steps, values = run.series(name)
                        shown = label if len(runs) == 1 else f"{run.name}: {label}"
                        lines.append({"name": shown, "x": steps, "y": values, "run": run.name, "label": label})
        if lines:
            charts.append({"title": title, "lines": lines})
    return charts


def trace_data(run: Run, matcher: TextMatcher) -> list[dict[str, Any]]:
    """Some prompts with their best and worst response at each step that has them, cut into coloured pieces."""
    by_prompt: dict[str, dict[int, list[tuple[float, str]]]] = defaultdict(lambda: defaultdict(list))
    for dumps in (run.validations, run.dumps):
        for step in sorted(dumps):
            for rollout in read_dump(dumps[step], run.gaps):
                if rollout.response:
                    by_prompt[rollout.prompt][step].append((rollout.score, rollout.response))
    # Prompts that come again show training best; of the others, some from the whole run.
    order = sorted(by_prompt, key=lambda prompt: -len(by_prompt[prompt]))
    often = [prompt for prompt in order if len(by_prompt[prompt]) > 1][:PROMPTS]
    rest = [prompt for prompt in order if len(by_prompt[prompt]) == 1]
    often += random.Random(0).sample(rest, min(len(rest), PROMPTS - len(often)))
    often.sort(key=lambda prompt: (-len(by_prompt[prompt]), min(by_prompt[prompt])))
    prompts = []
    for prompt in often:
        steps = []
        for step, responses in sorted(by_prompt[prompt].items()):
            ranked = sorted(responses, reverse=True)
            chosen = [ranked[0], ranked[-1]][: min(RESPONSES, len(ranked))]
            shown = [{"score": score, "pieces": coloured_pieces(text, matcher)} for score, text in chosen]
            right = sum(score > 0 for score, _ in responses)
            steps.append({"step": step, "responses": shown, "right": right, "of": len(responses)})
        prompts.append({"run": run.name, "prompt": prompt, "steps": steps})
    return prompts


def token_data(run: Run) -> list[dict[str, Any]]:
    """The responses kept token by token, by step."""
    steps = []
    for step, path in sorted(run.traces.items()):
        traces = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        steps.append({"run": run.name, "step": step, "traces": traces})
    return steps


def summary_rows(runs: Sequence[Run]) -> list[list[str]]:
    """What changed from each run's start to its end: run, measure, start, end, change."""
    wanted = {
        "held-out accuracy": "val-core/",
        "training reward": "critic/score/mean",
        "semantic entropy (nats)": "hicra/semantic_entropy_nats",
        "relative perplexity, planning": "hicra/perplexity_planning_relative",
        "relative perplexity, execution": "hicra/perplexity_execution_relative",
        "planning fraction": "hicra/planning_fraction",
        "response length (tokens)": "response_length/mean",
    }
    rows = []
    for run in runs:
        names = sorted({name for data in run.metrics.values() for name in data})
        for title, metric in wanted.items():
            found = [
                n for n in names if (n.startswith(metric) and "/acc/" in n if metric.endswith("/") else n == metric)
            ]
            if not found:
                continue
            steps, values = run.series(found[0])
            change = values[-1] - values[0]
            rows.append(
                [
                    run.name,
                    title,
                    f"{values[0]:.3f} (step {steps[0]})",
                    f"{values[-1]:.3f} (step {steps[-1]})",
                    f"{change:+.3f}",
                ]
            )
    return rows


def render(
    runs: Sequence[Run], texts: Sequence[dict[int, StepTexts]], grams: GramSet, title: str, configuration: str = ""
) -> str:
    """The page.

    Args:
        runs: the runs, with recomputed measures.
        texts: for each run, what ``recompute`` found, for the most frequent grams.
        grams: the gram set that traces are coloured with.
        title: the page's.
        configuration: the command or settings of the runs, shown as they are.
    """
    from plotly.offline import get_plotlyjs

    frequent = []
    for run, found in zip(runs, texts, strict=True):
        for when in [min(found), max(found)] if found else []:
            counts = found[when].gram_counts
            total = max(1, int(counts.sum()))
            top = counts.argsort()[::-1][:10]
            listed = [f"{grams.grams[place].text} {counts[place] / total:.1%}" for place in top if counts[place]]
            frequent.append([run.name, f"step {when}", ", ".join(listed)])
    matcher = TextMatcher(grams)
    data = {
        "runs": len(runs),
        "charts": chart_data(runs),
        "traces": [prompt for run in runs for prompt in trace_data(run, matcher)],
        "tokens": [step for run in runs for step in token_data(run)],
    }
    page = resources.files("hicra_verl.analysis").joinpath("report.html").read_text(encoding="utf-8")
    gaps = [[run.name, gap] for run in runs for gap in dict.fromkeys(run.gaps)]
    parts = {
        "TITLE": html.escape(title),
        "NOTE": html.escape(
            f"gram set {grams.name} ({len(grams)} grams, sha256 {grams.sha256[:12]}) · hicra_verl {__version__}"
        ),
        "SUMMARY": _table(["run", "measure", "start", "end", "change"], summary_rows(runs)),
        "GRAMS": _table(["run", "", "most frequent grams"], frequent)
        if frequent
        else "<p>No rollouts were dumped.</p>",
        "GAPS": _table(["run", "gap"], gaps) if gaps else "<p>None found.</p>",
        "CONFIGURATION": html.escape(configuration or "not recorded with these runs"),
        # No tag inside a response may end the script, or begin one.
        "DATA": json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
        "PLOTLY": get_plotlyjs(),
    }
    for name, content in parts.items():
        page = page.replace(f"@@{name}@@", content)
    return page


def _table(columns: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def recorded_configuration(path: Path) -> str:
    """The command of a run as its folder keeps it (``command.txt``), or ""."""
    folder = path if path.is_dir() else path.parent
    command = folder / "command.txt"
    return command.read_text(encoding="utf-8").strip() if command.exists() else ""
