"""Speed, as ratios measured side by side in one run: ``make bench``. On one core, but for what says two.

Absolute times say little (machines differ, and this one may be busy); the ratios are the result.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import itertools

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
TOKENIZERS = Path(os.environ.get("HICRA_TEST_TOKENIZERS", ROOT / "runs" / "tokenizers"))
DATA = Path(os.environ.get("HICRA_TEST_DATA", ROOT.parent / "shared" / "data"))
RESPONSE_TOKENS = 16_384
CORES = sorted(os.sched_getaffinity(0))
# A step of a 7B model with this batch (16.8 M response tokens) on 16 A100, estimated, not measured: generation at 2,000
# tokens/s a GPU takes 520 s; a forward pass and an update, 8 x 7e9 x 16.8e6 operations at 40% of 312 TFLOPS, 470 s.
STEP_7B_S = 990


def timed(run: Callable[[], object], repeats: int) -> float:
    """Median seconds of ``repeats`` runs, after one that warms up."""
    run()
    durations = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        durations.append(time.perf_counter() - started)
    return statistics.median(durations)


def long_response(tokenizer: Any) -> list[int]:
    """16K tokens of real reasoning: the saved responses, one after the other."""
    path = DATA / "rollouts" / "math_cot_100.jsonl"
    if not path.exists():
        raise SystemExit(f"{path} is absent: set HICRA_TEST_DATA to the folder that holds rollouts/")
    ids: list[int] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        ids += tokenizer(json.loads(line)["response"], add_special_tokens=False)["input_ids"]
        if len(ids) >= RESPONSE_TOKENS:
            return ids[:RESPONSE_TOKENS]
    raise SystemExit("the saved responses hold too few tokens")


def with_rare_characters(text: str) -> str:
    """The text with symbols behind some of its words; most vocabularies spell them by their bytes."""
    rng = random.Random(0)
    symbols = "×≤≥√∑∫∂∈∞≈≠⇒αβλσ∠𝑥𝔼😀✅⟨⌊我们检查一下"
    return " ".join(word if rng.random() > 0.15 else word + rng.choice(symbols) for word in text.split(" "))


def bench_matcher(table: Table) -> None:
    from transformers import AutoTokenizer

    from hicra_verl.grams import load_grams
    from hicra_verl.grams.matcher import GramMatcher
    from hicra_verl.grams.token_bytes import token_bytes

    grams = load_grams("paper")
    texts = sorted((gram.text for gram in grams), key=len, reverse=True)
    bounded = [
        (r"(?<!\w)" if re.match(r"\w", text) else "") + re.escape(text).replace(r"\ ", r"\s+")
        + (r"(?!\w)" if re.search(r"\w$", text) else "")
        for text in texts
    ]  # fmt: skip
    alternation = re.compile("|".join(bounded), re.IGNORECASE)
    for name in ("qwen3", "llama3", "llama2", "smollm2", "gemma3"):
        if not (TOKENIZERS / name).exists():
            table.add_row(name, "absent: `make material` fetches it", "", "", "", "")
            continue
        tokenizer = AutoTokenizer.from_pretrained(TOKENIZERS / name)
        matcher = GramMatcher(grams, token_bytes(tokenizer))
        ids = long_response(tokenizer)
        text = tokenizer.decode(ids)
        rare = tokenizer(with_rare_characters(text), add_special_tokens=False)["input_ids"]
        batch, rare_batch = np.array([ids] * 8), np.array([rare[:RESPONSE_TOKENS]] * 8)
        match_s = timed(lambda: matcher.match(batch), 20) / len(batch)  # noqa: B023
        rare_s = timed(lambda: matcher.match(rare_batch), 20)  # noqa: B023
        decode_s = timed(lambda: tokenizer.decode(ids), 20)  # noqa: B023
        regex_s = timed(lambda: sum(1 for _ in alternation.finditer(text)), 3)  # noqa: B023
        table.add_row(
            name, f"{len(ids) / match_s / 1e6:.1f} M", f"{rare_batch.size / rare_s / 1e6:.1f} M",
            f"{match_s * 1e3:.2f} ms", f"{decode_s / match_s:.1f} x", f"{regex_s / match_s:.0f} x",
        )  # fmt: skip


def bench_step() -> list[tuple[str, str]]:
    """HICRA's time on 2,048 responses of 8,192 tokens, beside verl's plain GRPO advantage on the same batch."""
    import verl.trainer.ppo.core_algos as core_algos
    from transformers import AutoTokenizer

    from hicra_verl.config import HicraConfig
    from hicra_verl.grams import load_grams
    from hicra_verl.grams.matcher import GramMatcher
    from hicra_verl.grams.token_bytes import token_bytes
    from hicra_verl.training.step import StepShaper

    rows, columns = 2048, 8192
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZERS / "qwen3")
    pool = np.array(long_response(tokenizer))
    rng = np.random.default_rng(0)
    starts = rng.integers(0, len(pool) - columns, rows)
    responses = torch.from_numpy(np.stack([pool[start : start + columns] for start in starts]))
    response_mask = torch.ones(rows, columns, dtype=torch.long)
    rewards = torch.zeros(rows, columns)
    rewards[:, -1] = torch.from_numpy(rng.integers(0, 2, rows).astype(np.float32))
    index = np.repeat(np.arange(rows // 16), 16).astype(str)

    grams = load_grams("paper")
    shaper = StepShaper(HicraConfig(), grams, GramMatcher(grams, token_bytes(tokenizer)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grpo = core_algos.compute_grpo_outcome_advantage
    advantages = grpo(rewards, response_mask, index)[0]
    grpo_s = timed(lambda: grpo(rewards, response_mask, index), 5)
    between = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    facts = {
        "log_probs": -torch.rand(rows, columns),
        "entropies": torch.rand(rows, columns),
        "scores": rewards[:, -1],
        "groups": index.tolist(),
    }

    def step(blocking: list[float]) -> None:
        started = time.perf_counter()
        shaper.shape(advantages, responses, response_mask, **facts)
        blocking.append(time.perf_counter() - started)
        shaper.take_metrics(None)

    found: dict[int, tuple[float, float]] = {}
    for cores in (1, 2):
        on_cores(cores)
        waited: list[float] = []
        found[cores] = timed(lambda: step(waited), 5), statistics.median(waited[1:])  # noqa: B023
    on_cores(1)
    (whole_s, blocking_s), (two_s, two_blocking_s) = found[1], found[2]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return [
        ("verl's GRPO advantage, 2,048 x 8,192 tokens, one core", f"{grpo_s:.2f} s"),
        (
            "HICRA with all its measures, the same batch, one core",
            f"{whole_s:.2f} s ({rows * columns / whole_s / 1e6:.1f} M tokens/s)",
        ),
        ("ratio HICRA / GRPO advantage (goal 7)", f"{whole_s / grpo_s:.1f} x"),
        ("of it, what the actor waits for (mask, advantages), one core", f"{blocking_s:.2f} s"),
        ("ratio of that / GRPO advantage (goal 3)", f"{blocking_s / grpo_s:.1f} x"),
        (f"HICRA on two cores ({len(CORES)} there)", f"{two_s:.2f} s; {two_blocking_s:.2f} s of it waited for"),
        (
            "one core / two cores, all (goal 1.7), waited for",
            f"{whole_s / two_s:.2f}, {blocking_s / two_blocking_s:.2f}",
        ),
        ("memory added at peak by GRPO", f"{(between - before) / 1024:.0f} MiB"),
        ("memory added at peak by HICRA", f"{(after - between) / 1024:.0f} MiB"),
        ("step of which the wait for HICRA is 1%", f"{blocking_s * 100:.0f} s (any longer step: less)"),
        (f"share of a {STEP_7B_S} s step (see STEP_7B_S)", f"{blocking_s / STEP_7B_S:.2%}"),
    ]


def bench_import(repeats: int = 7) -> tuple[str, str]:
    """What the plugin adds to `import verl`: medians of alternating fresh processes."""
    times: dict[str, list[float]] = {"auto": [], "none": []}
    code = "import time; t = time.perf_counter(); import verl; print(time.perf_counter() - t)"
    for _ in range(repeats):
        for policy, durations in times.items():
            env = {**os.environ, "VERL_USE_EXTERNAL_PLUGINS": policy, "VERL_PLATFORM": ""}
            out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
            durations.append(float(out.stdout.strip().splitlines()[-1]))
    with_plugin, without = (statistics.median(times[policy]) for policy in ("auto", "none"))
    return "added to `import verl` by the plugin", f"{(with_plugin - without) * 1e3:.0f} ms on {without:.1f} s"


def bench_plugin_alone() -> tuple[str, str]:
    """The plugin's own import, in a process that already holds verl: free of the noise of importing verl."""
    code = (
        "import verl, time; t = time.perf_counter(); import hicra_verl.plugin; print((time.perf_counter() - t) * 1e3)"
    )
    env = {**os.environ, "VERL_USE_EXTERNAL_PLUGINS": "none", "VERL_PLATFORM": ""}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    return "the plugin's own import, verl loaded", f"{float(out.stdout.strip().splitlines()[-1]):.0f} ms"


def bench_grading(table: Table) -> None:
    """Answers a second on one core: ours, in its worker process, and math-verify called plainly in this one."""
    import logging

    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    from hicra_verl.grading.answers import last_boxed
    from hicra_verl.grading.grade import start
    from hicra_verl.grading.pool import GradingPool

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    rollouts = [
        (row["response"], row["ground_truth"])
        for row in map(json.loads, (DATA / "rollouts" / "math_cot_100.jsonl").read_text("utf-8").splitlines())
    ]
    golds = [
        row["answer"][0].strip("$")
        for row in map(json.loads, (DATA / "benchmarks" / "olympiad.jsonl").read_text("utf-8").splitlines())
    ][:300]
    others = [(f"\\boxed{{{answer}}}", gold) for answer, gold in itertools.pairwise(golds)]
    boxed = [(f"\\boxed{{{last_boxed(response)}}}", gold) for response, gold in rollouts]

    def plainly(pairs: list[tuple[str, str]]) -> list[bool]:
        latex = [LatexExtractionConfig(), ExprExtractionConfig()]
        return [
            verify(
                parse(f"${gold}$", latex, parsing_timeout=None),
                parse(response, latex, parsing_timeout=None),
                timeout_seconds=None,
            )
            for response, gold in pairs
        ]

    with GradingPool() as pool:

        def ours(pairs: list[tuple[str, str]]) -> list[bool]:
            begun = [start(response, gold, pool=pool) for response, gold in pairs]
            return [finish().correct for finish in begun]

        for name, pairs in (
            ("800 MATH responses, their boxes", boxed),
            ("299 olympiad answers against another's", others),
        ):
            ours_s, plain_s = timed(lambda: ours(pairs), 3), timed(lambda: plainly(pairs), 3)  # noqa: B023
            table.add_row(
                name, f"{len(pairs) / ours_s:,.0f}", f"{len(pairs) / plain_s:,.0f}", f"{plain_s / ours_s:.1f} x"
            )


def bench_dynamics() -> list[tuple[str, str]]:
    """Recomputing a run's text measures from its dumps: 200 rollouts of 4K tokens in one process."""
    from transformers import AutoTokenizer

    from hicra_verl.analysis.recompute import Reading, measure_dumps
    from hicra_verl.grams import load_grams

    tokenizer = AutoTokenizer.from_pretrained(TOKENIZERS / "qwen3")
    text = tokenizer.decode(long_response(tokenizer)[:4096])
    with tempfile.TemporaryDirectory() as folder:
        row = {"input": "p", "output": text, "score": 1.0}
        path = Path(folder) / "1.jsonl"
        path.write_text("".join(json.dumps({**row, "uid": f"{n // 8}_{n % 8}_0"}) + "\n" for n in range(200)))
        seconds = timed(lambda: measure_dumps({1: path}, Reading(load_grams("paper"))), 3)
    return [("hicra dynamics, rollouts of 4K tokens a core (goal 84)", f"{200 / seconds:.0f} rollouts/s")]


def on_cores(count: int) -> None:
    """From now on, this thread and those it starts use the first cores that this process may use."""
    os.sched_setaffinity(0, CORES[:count])
    torch.set_num_threads(min(count, len(CORES)))


def main() -> None:
    on_cores(1)
    console = Console(width=110)
    table = Table(title="matcher, 249 grams, a response of 16,384 tokens out of eight, one core", title_justify="left")
    columns = ("tokenizer", "tokens/s (goal 15 M)", "with rare characters", "time", "decode / match", "regex / match")
    for column in columns:
        table.add_column(column, justify="left" if column == "tokenizer" else "right")
    bench_matcher(table)
    console.print(table)
    rest = Table(title="training step", title_justify="left", show_header=False)
    for row in (*bench_step(), *bench_dynamics(), bench_import(), bench_plugin_alone()):
        rest.add_row(*row)
    console.print(rest)
    grading = Table(title="grading, one core (with a time limit that holds: ours only)", title_justify="left")
    for column in ("answers", "ours, answers/s", "math-verify plainly", "ratio"):
        grading.add_column(column, justify="left" if column == "answers" else "right")
    bench_grading(grading)
    console.print(grading)


if __name__ == "__main__":
    main()
