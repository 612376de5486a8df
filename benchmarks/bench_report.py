"""The report of a large run: ``make bench-report``, and a small one in ``make bench``.

Writes a made-up run whose responses are real ones laid end to end (each begins with two random numbers, so that the
index has as many rare words as a real run's), builds its report in a folder, opens that in Chromium from the disk, and
prints what it took.

    python benchmarks/bench_report.py 500 2048 4096      # steps, responses, tokens: 16 GB of dumps, 8 GB of report
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("HICRA_TEST_DATA", ROOT.parent / "shared" / "data"))
CHARACTERS_A_TOKEN = 4
GROUP = 8  # responses to a prompt, as in the paper's recipes
PROMPTS = 17_000  # about those of DAPO-Math


def real_rows() -> list[dict[str, str]]:
    """The saved real responses with their problems."""
    files = sorted((DATA / "rollouts").glob("*.jsonl"))
    if not files:
        raise SystemExit(f"{DATA / 'rollouts'} is absent: set HICRA_TEST_DATA to the folder that holds rollouts/")
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def write_run(folder: Path, steps: int, responses: int, tokens: int) -> int:
    """Write the made-up run; the bytes of its dumps."""
    rows, rng = real_rows(), random.Random(0)
    texts = [json.dumps(row["response"])[1:-1] + "\\n\\n" for row in rows]  # parts of a JSON text, as they will stand
    problems = sorted({row["problem"] for row in rows})
    (folder / "rollouts").mkdir(parents=True)
    size = 0
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as log:
        for step in range(1, steps + 1):
            path = folder / "rollouts" / f"{step}.jsonl"
            right = 0
            with path.open("w", encoding="utf-8") as dump:
                for place in range(responses):
                    if place % GROUP == 0:
                        number = rng.randrange(PROMPTS)
                        prompt = json.dumps(f"{problems[number % len(problems)]} (version {number})")
                    score = rng.random() < 0.3 + 0.4 * step / steps
                    right += score
                    output, wanted = [f"{rng.random():.9f}: "], rng.randint(tokens // 2, tokens * 3 // 2)
                    length = 0
                    while length < wanted * CHARACTERS_A_TOKEN:
                        output.append(rng.choice(texts))
                        length += len(output[-1])
                    dump.write(
                        f'{{"input": {prompt}, "output": "{"".join(output)}", "gts": "7", "score": {float(score)}, '
                        f'"step": {step}, "uid": "{step}-{place // GROUP}_{place % GROUP}_0"}}\n'
                    )
            size += path.stat().st_size
            data = {"critic/score/mean": right / responses, "response_length/mean": tokens + 0.0}
            log.write(json.dumps({"step": step, "data": data}) + "\n")
    return size


def build(run: Path, output: Path) -> tuple[float, float]:
    """Build the report in a process of its own: seconds, and the most memory that it and its workers held in GB."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "hicra_verl.cli", "report", str(run), "-o", str(output)])
    most = 0.0
    while process.poll() is None:
        most = max(most, memory(process.pid))
        time.sleep(0.5)
    if process.returncode:
        raise SystemExit("the report could not be built")
    return time.perf_counter() - began, most / 1e9


def memory(pid: int) -> float:
    """Bytes that a process and those it started hold; what they share counts once."""
    total, waiting = 0.0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:  # it has ended
            continue
        total += 1024 * sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


READY = "document.getElementById('view')?.getAttribute('aria-busy') === 'false'"
SEARCHES = (
    ("a word", "rollouts?q=therefore"),
    ("a rare word", "rollouts?q={rare}"),
    ("a phrase", "rollouts?q=we+can+see+that"),
    ("a regular expression", "rollouts?q=approx%5Cw*&re=1"),
    ("wrong answers, sorted by length", "rollouts?right=0&sort=length"),
)


def look(output: Path, rare: str, folder: Path) -> list[tuple[str, str]]:
    """Open a report in Chromium, from the disk: the time to the first view and of searches over all, and its memory."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from browser import browser, chromium

    if chromium() is None:
        return [("in a browser", "not measured: no Chromium here")]
    found = []
    with browser(folder) as tab:
        tab.size(1280, 900)
        address = (output / "index.html").resolve().as_uri()
        for name in ("first view (curves)", "first view again"):
            began = time.perf_counter()
            tab.open(address, READY)
            found.append((name, f"{time.perf_counter() - began:.2f} s"))
        began = time.perf_counter()
        tab.open(f"{address}#rollouts", READY)
        found.append(("first view of Rollouts, from a link", f"{time.perf_counter() - began:.2f} s"))
        for name, fragment in SEARCHES:
            tab.open(address, READY)  # each search begins with nothing at hand
            began = time.perf_counter()
            tab.run(f"location.hash = {json.dumps('#' + fragment.format(rare=rare))}")
            tab.wait(f"state.view === 'rollouts' && {READY}")
            seconds = time.perf_counter() - began
            said = tab.run("document.querySelector('.view-rollouts [role=status]')?.textContent") or ""
            found.append((f"search over all: {name}", f"{seconds:.2f} s ({said[:40]})"))
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        found.append(("memory of the browser", f"{sum(map(memory, map(int, children))) / 1e9:.2f} GB"))
        assert tab.complaints == [], tab.complaints
    return found


def size_of(folder: Path) -> tuple[int, int]:
    """Files of a folder, and their bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", type=int)
    parser.add_argument("responses", type=int, help="of a step")
    parser.add_argument("tokens", type=int, help="of a response, on average")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "bench_report")
    parser.add_argument("--keep", action="store_true", help="keep run and report, and use a run that is there")
    args = parser.parse_args()
    run, output = args.folder / "run", args.folder / "report"
    if not args.keep:
        shutil.rmtree(args.folder, ignore_errors=True)
    began = time.perf_counter()
    if not run.exists():
        write_run(run, args.steps, args.responses, args.tokens)
    dumped = sum(path.stat().st_size for path in run.rglob("*.jsonl"))
    print(f"{dumped / 1e9:.2f} GB of dumps written in {time.perf_counter() - began:.0f} s", flush=True)
    build_s, build_gb = build(run, output)
    files, size = size_of(output)
    table = Table(title=f"hicra report: {args.steps} steps x {args.responses:,} responses x {args.tokens:,} tokens",
                  title_justify="left")  # fmt: skip
    table.add_column("measure")
    table.add_column("found", justify="right")
    table.add_row("rollout dumps", f"{dumped / 1e9:.2f} GB")
    table.add_row(f"build time, {len(os.sched_getaffinity(0))} cores", f"{build_s:.1f} s")
    table.add_row("build speed", f"{dumped / build_s / 1e6:.0f} MB/s")
    table.add_row("memory of the build, at most", f"{build_gb:.2f} GB")
    table.add_row("size of the report", f"{size / 1e9:.2f} GB in {files:,} files")
    first = json.loads((run / "rollouts" / "1.jsonl").open(encoding="utf-8").readline())["output"]
    for row in look(output, first[2:11], args.folder):
        table.add_row(*row)
    Console(width=110).print(table)
    if not args.keep:
        shutil.rmtree(args.folder)


if __name__ == "__main__":
    main()
