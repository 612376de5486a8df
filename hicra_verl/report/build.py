"""`hicra report`: reads runs, writes the pieces of their report, and the page that shows them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hicra_verl.analysis.recompute import StepTexts, fill_in, filtering_of
from hicra_verl.analysis.runs import Run, load_runs
from hicra_verl.files import OutputError, check_output, check_outputs, is_stream, make_folder, write_text
from hicra_verl.grams import load_grams
from hicra_verl.grams.gramset import GramSet
from hicra_verl.grams.text_matcher import TextMatcher
from hicra_verl.report import html
from hicra_verl.report.assemble import Prompts, RunParts
from hicra_verl.report.configuration import configuration, recorded_files, token_limit
from hicra_verl.report.judged import judged, judged_files
from hicra_verl.report.manifest import curves, lacks, manifest
from hicra_verl.report.pieces import Array, Store, as_json
from hicra_verl.report.reader import read_section
from hicra_verl.report.sections import TRAIN, VALIDATION, Section, load_section
from hicra_verl.report.shards import write_words
from hicra_verl.report.workers import Workers
from hicra_verl.training.token_ids import token_ids_beside
from hicra_verl.training.traces import read_traces
from hicra_verl.verl_formats.dumps import count_rollouts

PAGE_BYTES = 100 << 20  # of dumps that one page takes: a browser reads all of it before it shows anything
SMALL_BYTES = 16 << 20  # of dumps that are read faster than processes start
MARK, DATA, PART = ".hicra_report", "data", ".data.part"
"""In a report's folder: that it is one; its pieces; and the pieces of one that is being written."""

SCORE = "critic/score/mean"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Written:
    """What was written: how many runs and responses, and the bytes it takes."""

    runs: int
    rows: int
    size: int

    def __str__(self) -> str:
        return f"{self.runs} runs, {self.rows:,} responses, {self.size / 1e6:.1f} MB"


def is_page(output: Path) -> bool:
    """Whether one page is asked for, and no folder."""
    return output.suffix.lower() in (".html", ".htm") or is_stream(output) or output.is_file()


def check_place(output: Path) -> None:
    """Refuse, before any work is done, a place that the report cannot be written to.

    Raises:
        OutputError: if it is no file's or folder's, or a folder that holds something else.
    """
    if is_page(output):
        check_output(output)
    elif output.is_dir():
        others = sorted(path.name for path in output.iterdir())
        if others and not (output / MARK).is_file():
            problem = f"is a folder that holds something else ({others[0]})"
            raise OutputError(problem, file=output, remedy="give a new folder, or a page (.html)")


def write_report(
    words: Sequence[str],
    output: Path,
    grams: str | None = None,
    title: str = "Training report",
    *,
    processes: int | None = None,
    progress: Progress = lambda what, done, total: None,
    kept: Path | None = None,
    watch: int | None = None,
) -> Written:
    """Write the report about runs.

    Args:
        words: the runs, each ``[LABEL=]PATH``.
        output: one page (``.html``), or a folder, which large runs need.
        grams: count and colour with this gram set; None with the paper's.
        title: the page's.
        processes: how many read dumps; None for one a core, and one where little is to be read.
        progress: called with what is done, how much of it, and of how much.
        kept: a folder that keeps what was read between calls, so that only what changed is read again.
        watch: seconds between two looks for a newer report, which the page then takes.

    Raises:
        HicraError: if a run cannot be read, or the report cannot be written.
    """
    check_place(output)
    gram_set, runs = load_grams(grams or "paper"), load_runs(words)
    beside = [file for run in runs for file in (*recorded_files(run.path), *judged_files(run.path))]
    inputs = [*(file for run in runs for file in run.sources), *beside, Path(grams or "paper").expanduser()]
    page = is_page(output)
    check_outputs(*([output] if page else []), inputs=inputs)
    dumped = sum(file.stat().st_size for run in runs for file in (*run.dumps.values(), *run.validations.values()))
    if page and dumped > PAGE_BYTES:
        problem = f"{dumped / 1e6:,.0f} MB of rollouts are too much for one page"
        raise OutputError(problem, file=output, remedy="give a folder: -o report/")
    html.plotly()  # not only at the end, if it is not installed
    fresh = kept is None or not any(kept.iterdir())
    store = Store(None if page else _begin_folder(output, fresh))
    with ExitStack() as stack:
        if kept is None:
            kept = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=store.folder, prefix=".read.")))
        few = 1 if dumped < SMALL_BYTES else len(os.sched_getaffinity(0))
        workers = stack.enter_context(Workers(processes or few, gram_set))
        built = Builder(runs, gram_set, replace=grams is not None, store=store, kept=kept, workers=workers)
        found = built.build(title, progress, watch)
    if page:
        text = html.render(found, store.kept)
        write_text(output, text)
        return Written(len(runs), built.rows, len(text.encode("utf-8", "replace")))
    return Written(len(runs), built.rows, built.size + _end_folder(output, found))


def _begin_folder(output: Path, fresh: bool) -> Path:
    """Where pieces go until all are there; or, if some are there already, to their place."""
    make_folder(output)
    if (output / DATA).is_dir() and not fresh:
        return output / DATA
    write_text(output / MARK, "made by hicra report\n")
    shutil.rmtree(output / PART, ignore_errors=True)  # of a report that was not finished
    return make_folder(output / PART)


def _end_folder(output: Path, found: dict[str, Any]) -> int:
    """Put the pieces in their place, and write the page and its library; what these take."""
    if (output / PART).is_dir():
        old = output / f"{PART}.old"
        shutil.rmtree(old, ignore_errors=True)
        if (output / DATA).is_dir():
            (output / DATA).rename(old)
        (output / PART).rename(output / DATA)
        shutil.rmtree(old, ignore_errors=True)
    write_text(output / "plotly.js", html.plotly())
    write_text(output / "index.html", html.render(found, None))
    return sum((output / name).stat().st_size for name in ("plotly.js", "index.html"))


class Builder:
    """Writes the pieces of a report.

    Args:
        runs: what is shown; measures that texts allow are filled in.
        grams: the set to count.
        replace: put recomputed measures in the place of logged ones.
        store: where pieces go.
        kept: a folder for what was read.
        workers: who reads.
    """

    def __init__(
        self, runs: Sequence[Run], grams: GramSet, *, replace: bool, store: Store, kept: Path, workers: Workers
    ) -> None:
        self.runs, self.grams, self.replace = runs, grams, replace
        self.store, self.kept, self.workers = store, kept, workers
        self.rows = self.size = 0

    def build(self, title: str, progress: Progress, watch: int | None) -> dict[str, Any]:
        """Write every piece; the manifest."""
        sections = self._sections(progress)
        prompts = Prompts(self.store)
        logged = [{name for data in run.metrics.values() for name in data} for run in self.runs]
        parts = self._read(sections, prompts, progress)
        further = []
        recorded: list[dict[str, Any]] = []
        for place, (run, part) in enumerate(zip(self.runs, parts, strict=True)):
            rows, judges = judged(run.path, part.sections, run.gaps)
            recorded.append(configuration(run.path, self.grams, run.gaps))
            self.size += self.store.put(f"errors/{place}", as_json(rows))
            said = lacks(run, part, logged[place], len(rows), recorded[-1]["command"])
            further.append({"judged": len(rows), "judges": judges, "lacks": said})
        self.size += self.store.put("curves", as_json(curves(self.runs)))
        self.size += self.store.put("configuration", as_json(recorded))
        prompts.flush()
        found = manifest(
            title,
            self.runs,
            parts,
            self.grams,
            len(prompts),
            {"runs": further, "watch": watch, "folder": self.store.folder is not None},
        )
        self.size += self.store.put("made", as_json({"made": found["made"]}))
        self.size += self.store.put("manifest", as_json(found)) + prompts.size + sum(part.size for part in parts)
        self.rows = sum(part.rows for part in parts)
        return found

    def _sections(self, progress: Progress) -> list[list[Section]]:
        """The dumps of each run in order, with the number of each one's first row."""
        dumps = [
            sorted([(step, TRAIN, path) for step, path in run.dumps.items()]
                   + [(step, VALIDATION, path) for step, path in run.validations.items()])
            for run in self.runs
        ]  # fmt: skip
        paths = [path for found in dumps for _, _, path in found]
        counts = iter(self.workers.each(count_rollouts, paths, partial(progress, "counting")))
        sections = []
        for place, (run, found) in enumerate(zip(self.runs, dumps, strict=True)):
            limit, row, of_run = token_limit(run.path), 0, []
            for step, kind, path in found:
                count = next(counts)
                traces, ids = (run.traces.get(step), token_ids_beside(path)) if kind == TRAIN else (None, None)
                of_run.append(Section(place, kind, step, path, row, count, traces, ids, limit, filtering_of(run)))
                row += count
            sections.append(of_run)
        return sections

    def _read(self, sections: list[list[Section]], prompts: Prompts, progress: Progress) -> list[RunParts]:
        every = [section for of_run in sections for section in of_run]
        read = partial(_read_one, store=Store(self.store.folder), folder=self.kept)
        paths = list(self.workers.matching(read, every, partial(progress, "reading")))
        wanted = {path.stem for path in paths}
        for path in self.kept.iterdir():  # of a dump that has grown since
            if path.stem not in wanted:
                path.unlink()
        parts, place = [], 0
        for number, (run, of_run) in enumerate(zip(self.runs, sections, strict=True)):
            part = RunParts(number, self.store, prompts, self.grams)
            mine = paths[place : place + len(of_run)]
            place += len(of_run)
            texts: dict[int, StepTexts] = {}
            scores: dict[int, Array] = {}
            for section, path in zip(of_run, mine, strict=True):
                found = load_section(path)
                part.add(section, found)
                run.gaps += found.gaps
                if section.kind == TRAIN:
                    texts[section.step] = StepTexts(found.metrics, found.gram_counts, [], [])
                    scores[section.step] = found.columns["score"]
            self._rest_of_traces(run, part)
            part.finish()
            fill_in(run, texts, self.replace)
            _fill_in_scores(run, scores)
            write_words(number, mine, self.store, self.workers, part, partial(progress, f"words of {run.name}"))
            parts.append(part)
        return parts

    def _rest_of_traces(self, run: Run, part: RunParts) -> None:
        """Traces of steps whose rollouts were not dumped belong to no row."""
        for step, path in sorted(run.traces.items()):
            if step not in run.dumps:
                part.put_traces(step, [{**trace, "row": -1} for trace in read_traces(path, run.gaps)])


def _fill_in_scores(run: Run, scores: dict[int, Array]) -> None:
    """The mean score of each step, for a run that logged none."""
    if any(SCORE in logged for logged in run.metrics.values()):
        return
    for step, found in scores.items():
        known = found[~np.isnan(found)]
        if len(known):
            run.metrics.setdefault(step, {})[SCORE] = float(known.mean(dtype=np.float64))


def _read_one(matcher: TextMatcher, section: Section, store: Store, folder: Path) -> Path:
    return read_section(section, matcher, store, folder)
