"""What the page reads first: the runs, their sections and curves, and what each lacks."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from hicra_verl import palette
from hicra_verl.analysis.runs import Run
from hicra_verl.grams.gramset import FUNCTIONS, GramSet
from hicra_verl.metrics.table import charts, metric_named, title_of
from hicra_verl.report.assemble import RunParts
from hicra_verl.report.pieces import PROMPTS_PER_BLOCK, ROWS_PER_BLOCK, ROWS_PER_TEXT, WORD_SHARDS
from hicra_verl.version import __version__

GAPS = 500  # of a run that are shown
VERSION = 1


def curves(runs: Sequence[Run]) -> dict[str, dict[str, list[list[float]]]]:
    """The piece ``curves``: run index to metric to steps and values."""
    found = {}
    for place, run in enumerate(runs):
        names = sorted({name for data in run.metrics.values() for name in data})
        found[str(place)] = {name: [list(one) for one in run.series(name)] for name in names}
    return found


def manifest(
    title: str, runs: Sequence[Run], parts: Sequence[RunParts], grams: GramSet, prompts: int, further: dict[str, Any]
) -> dict[str, Any]:
    """The piece ``manifest``.

    Args:
        title: the report's.
        runs: with all their metrics.
        parts: what was written of each.
        grams: the set that was counted.
        prompts: how many there are.
        further: ``runs`` with what else is known of each, ``watch`` and ``folder``.
    """
    names = {name for run in runs for data in run.metrics.values() for name in data}
    note = f"gram set {grams.name} ({len(grams)} grams, sha256 {grams.sha256[:12]}) · hicra_verl {__version__}"
    return {
        "version": VERSION,
        "title": title,
        "note": note,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hicra": __version__,
        "grams": {"name": grams.name, "sha256": grams.sha256, "size": len(grams)},
        "gram_list": [[gram.text, FUNCTIONS.index(gram.function)] for gram in grams],
        "functions": list(FUNCTIONS),
        "rows_per_block": ROWS_PER_BLOCK,
        "rows_per_text": ROWS_PER_TEXT,
        "word_shards": WORD_SHARDS,
        "prompts": prompts,
        "prompts_per_block": PROMPTS_PER_BLOCK,
        "runs": [
            _run(run, part, more) for run, part, more in zip(runs, parts, further["runs"], strict=True)
        ],
        "series": list(palette.SERIES),
        "shades": {name: shade._asdict() for name, shade in palette.FUNCTION_SHADES.items()},
        "fixed": {"planning": palette.PLANNING, "execution": palette.EXECUTION},
        "charts": _charts(names),
        "titles": {name: title_of(name) for name in sorted(names)},
        "watch": further["watch"],
        "folder": further["folder"],
    }  # fmt: skip


def _charts(names: set[str]) -> list[dict[str, Any]]:
    found = []
    for title, lines in charts(names).items():
        metric = metric_named(lines[0][0])
        unit = metric.unit if metric is not None else ""
        found.append({"title": title, "unit": unit, "lines": [list(line) for line in lines]})
    return found


def _run(run: Run, part: RunParts, more: dict[str, Any]) -> dict[str, Any]:
    gaps = list(dict.fromkeys(run.gaps))
    hidden = len(gaps) - GAPS
    return {
        "name": run.name,
        "label": run.label,
        "seed": run.seed,
        "path": run.path.name or run.path.resolve().name,
        "rows": part.rows,
        "sections": part.sections,
        "traced_steps": sorted(part.traced),
        "in_tokens": part.rows > 0 and part.known["tokens"],
        "advantage": "the mean of what the actor received where a response was kept token by token; elsewhere "
        "GRPO's own, from the scores of the group",
        **more,
        "gaps": gaps[:GAPS] + ([f"and {hidden} more"] if hidden > 0 else []),
    }


def lacks(run: Run, part: RunParts, logged: set[str], judged: int, command: str) -> list[str]:
    """What a run did not keep, and which view is therefore empty or poorer.

    Args:
        run: the run.
        part: what was written of it.
        logged: the metrics that its tracker logged, before any were recomputed.
        judged: how many of its failures were judged.
        command: what it was started with; "" where nobody knows.
    """
    training = any(section["kind"] == "train" for section in part.sections)
    validation = any(section["kind"] == "validation" for section in part.sections)
    ours = any(name.startswith("hicra/") for name in logged)
    said = []
    if not logged:
        said.append("No metrics were logged to a file (trainer.logger=[console,file]): the curves show what the "
                    "rollouts' texts and scores allow.")  # fmt: skip
    elif not ours:
        said.append("The run logged no measures of HICRA: those that texts and scores allow were recomputed; entropy "
                    "and perplexity of planning and execution tokens are not among them.")  # fmt: skip
    if not training:
        said.append("No training rollouts were dumped (trainer.rollout_data_dir): Rollouts and Grams are empty but "
                    "for validation.")  # fmt: skip
    if not validation:
        said.append("No validation responses were dumped (trainer.validation_data_dir): held-out prompts cannot be "
                    "followed across steps.")  # fmt: skip
    if not part.traced:
        said.append("No responses were kept token by token (algorithm.hicra.traces): Tokens is empty, and advantages "
                    "are GRPO's own from the scores.")  # fmt: skip
    if part.rows and not part.known["tokens"]:
        said.append("Lengths in tokens are unknown: verl's dumps hold text alone. Lengths are in characters.")
    if part.rows and not part.known["clipped"]:
        said.append("Which responses were clipped is unknown: verl's dumps do not say.")
    if part.rows and not part.known["score"]:
        said.append("No response has a score: right and wrong are unknown.")
    if not judged:
        said.append("No failures were judged (hicra errors): Errors is empty.")
    if not command:
        said.append("The run's command was not kept (command.txt in its folder): Configuration is empty.")
    return said
