"""`hicra report`: one page that opens offline, with the curves, the configuration, the grams and the traces of runs."""

from __future__ import annotations

import html
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hicra_verl import palette
from hicra_verl.analysis.recompute import StepTexts, measure_runs
from hicra_verl.analysis.runs import Run, held_out_metric
from hicra_verl.files import check_output, check_outputs, write_text
from hicra_verl.grams.functions import coloured_pieces
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.metrics.table import charts, title_of
from hicra_verl.pages import fill, script_data
from hicra_verl.redact import redact
from hicra_verl.training.traces import read_traces
from hicra_verl.verl_formats.dumps import read_dump
from hicra_verl.version import __version__

PROMPTS = 12  # of each run, those seen at most steps first
RESPONSES = 2  # of each prompt and step: the best and the worst
SHOWN_CHARACTERS = 100_000  # of a recorded command
GRAM_CHARACTERS = 80

SUMMARY = (
    "critic/score/mean",
    "hicra/semantic_entropy_nats",
    "hicra/perplexity_planning_relative",
    "hicra/perplexity_execution_relative",
    "hicra/planning_fraction",
    "response_length/mean",
)


def write_report(
    words: Sequence[str], output: Path, grams: str | None = None, title: str = "Training report"
) -> tuple[int, int]:
    """Write the page about runs.

    Args:
        words: the runs, each ``[LABEL=]PATH``.
        output: the page.
        grams: count and colour with this gram set; None with the paper's.
        title: the page's.

    Returns:
        How many runs it shows, and its size in characters.

    Raises:
        HicraError: if a run cannot be read, or the page cannot be written.
    """
    check_output(output)
    measured = measure_runs(words, grams)
    commands = [command_file(run.path) for run in measured.runs]
    check_outputs(output, inputs=[*measured.sources, *commands, Path(grams or "paper").expanduser()])
    recorded = [(run.name, recorded_configuration(run.path)) for run in measured.runs]
    configuration = "\n\n".join(f"{name}:\n{words}" for name, words in recorded if words)
    page = render(measured.runs, measured.texts, measured.grams, title, configuration)
    write_text(output, page)
    return len(measured.runs), len(page)


def chart_data(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every chart with a line for each run and metric that was logged; charts without any line are left out."""
    drawn = charts({name for run in runs for data in run.metrics.values() for name in data})
    found = []
    for title, metrics in drawn.items():
        lines = []
        for run in runs:
            for name, label in metrics:
                steps, values = run.series(name)
                if steps:
                    line = label if len(runs) == 1 else f"{run.name}: {label}"
                    lines.append({"name": line, "x": steps, "y": values, "run": run.name, "label": label})
        found.append({"title": title, "lines": lines})
    return found


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
            ranked = sorted(responses, key=_by_score, reverse=True)
            chosen = [ranked[0], ranked[-1]][: min(RESPONSES, len(ranked))]
            shown = [
                {"score": score if math.isfinite(score) else None, "pieces": coloured_pieces(text, matcher)}
                for score, text in chosen
            ]
            right = sum(score > 0 for score, _ in responses)
            steps.append({"step": step, "responses": shown, "right": right, "of": len(responses)})
        prompts.append({"run": run.name, "prompt": prompt, "steps": steps})
    return prompts


def _by_score(scored: tuple[float, str]) -> tuple[float, str]:
    return (-math.inf if math.isnan(scored[0]) else scored[0], scored[1])


def summary_rows(runs: Sequence[Run]) -> list[list[str]]:
    """What changed from each run's start to its end: run, measure, start, end, change."""
    rows = []
    for run in runs:
        for metric in (held_out_metric(run), *SUMMARY):
            steps, values = ([], []) if metric is None else run.series(metric)
            if metric is not None and steps:
                start, end = (f"{values[place]:.3f} (step {steps[place]})" for place in (0, -1))
                rows.append([run.name, title_of(metric), start, end, f"{values[-1] - values[0]:+.3f}"])
    return rows


def _frequent_grams(run: Run, texts: dict[int, StepTexts], grams: GramSet) -> list[list[str]]:
    rows = []
    for when in [min(texts), max(texts)] if texts else []:
        counts = texts[when].gram_counts
        total = max(1, int(counts.sum()))
        top = [place for place in counts.argsort()[::-1][:10] if counts[place]]
        listed = [f"{grams.grams[place].text[:GRAM_CHARACTERS]} {counts[place] / total:.1%}" for place in top]
        rows.append([run.name, f"step {when}", ", ".join(listed)])
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

    frequent = [row for run, found in zip(runs, texts, strict=True) for row in _frequent_grams(run, found, grams)]
    matcher = TextMatcher(grams)
    data = {
        "runs": len(runs),
        "charts": chart_data(runs),
        "traces": [prompt for run in runs for prompt in trace_data(run, matcher)],
        "tokens": [
            {"run": run.name, "step": step, "traces": read_traces(path, run.gaps)}
            for run in runs
            for step, path in sorted(run.traces.items())
        ],
        "series": palette.SERIES,
        "fixed": {"planning": palette.PLANNING, "execution": palette.EXECUTION},
        "functions": {name: shade.strong for name, shade in palette.FUNCTION_SHADES.items()},
    }
    gaps = [[run.name, gap] for run in runs for gap in dict.fromkeys(run.gaps)]
    note = f"gram set {grams.name} ({len(grams)} grams, sha256 {grams.sha256[:12]}) · hicra_verl {__version__}"
    parts = {
        "TITLE": html.escape(title),
        "NOTE": html.escape(note),
        "FUNCTIONS": palette.function_rules(".{name} { background: {strong}; } "),
        "SUMMARY": _table(["run", "measure", "start", "end", "change"], summary_rows(runs)),
        "GRAMS": _table(["run", "", "most frequent grams"], frequent, "No rollouts were dumped."),
        "GAPS": _table(["run", "gap"], gaps, "None found."),
        "CONFIGURATION": html.escape(configuration or "not recorded with these runs"),
        "DATA": script_data(data),
        "PLOTLY": get_plotlyjs(),
    }
    return fill("hicra_verl.analysis", "report.html", parts)


def _table(columns: list[str], rows: list[list[str]], otherwise: str = "Nothing was logged.") -> str:
    if not rows:
        return f"<p>{otherwise}</p>"
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def command_file(path: Path) -> Path:
    """Where the command of a run is kept, if it is, given the run's folder or a file in it."""
    return (path if path.is_dir() else path.parent) / "command.txt"


def recorded_configuration(path: Path) -> str:
    """The command of a run as its folder keeps it, without its keys and passwords; or ""."""
    command = command_file(path)
    if not command.is_file():
        return ""
    with command.open(encoding="utf-8", errors="replace") as stream:
        return redact(stream.read(SHOWN_CHARACTERS)).strip()
