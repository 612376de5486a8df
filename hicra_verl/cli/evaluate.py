"""`hicra eval` and `hicra table`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from hicra_verl.cli.app import GramsOption, app, fail
from hicra_verl.endpoint import REFUSED
from hicra_verl.errors import nearest
from hicra_verl.evaluation.benchmarks import SAMPLES, TEMPERATURE, TOP_P, EvaluationError, load_benchmark
from hicra_verl.terminal import plain_console


def _arguments(pairs: list[str], option: str) -> dict[str, Any]:
    """``key=value`` words; a value that is JSON is read as such."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise fail(f"{option} {pair}: expected KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


@app.command(name="eval")
def evaluate(
    benchmarks: Annotated[
        list[str],
        typer.Argument(metavar="BENCHMARK…", help="aime24, math500…; or your own: DATA/TEMPLATE/NAME.parquet."),
    ],
    model: Annotated[
        str, typer.Option("--model", help="Folder or hub name; with --base-url, the server's name for it.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder; an evaluation begun there goes on.")],
    data: Annotated[Path, typer.Option("--data", help="Where `hicra data` wrote.")] = Path("data"),
    template: Annotated[str, typer.Option("--template", help="The prompt template, as for `hicra data`.")] = "qwen",
    row: Annotated[
        str | None,
        typer.Option("--row", help="The row this fills (see `hicra recipes`), or one of your own: new:MODEL_METHOD."),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server instead of vLLM here.")] = None,
    replicas: Annotated[int, typer.Option(help="vLLM copies over a Ray cluster's GPUs; 0: one, in this process.")] = 0,
    gpus_each: Annotated[int, typer.Option(help="GPUs of each copy (tensor parallel).")] = 1,
    temperature: Annotated[float, typer.Option(help="Paper: 0.6. At 0, one sample a problem.")] = TEMPERATURE,
    top_p: Annotated[float, typer.Option(help="Ours, as DeepSeek-R1's protocol.")] = TOP_P,
    max_tokens: Annotated[int, typer.Option(help="Of a response; ours: the paper's longer context.")] = 30720,
    stop: Annotated[
        list[str] | None,
        typer.Option(help="A text that ends a response, such as '<|im_end|>' for base Qwen models; repeatable."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="A problem. Paper: 32 for AIME24 and AIME25, 4 for AMC23, else 1.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N problems of each; tables mark it.")] = None,
    seed: Annotated[int, typer.Option(help="Each sample's seed follows from it.")] = 0,
    template_argument: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE for the chat template, such as enable_thinking=false.")
    ] = None,
    vllm_argument: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE for vllm.LLM, such as max_model_len=32768.")
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Requests in flight to --base-url.")] = 64,
    timeout_s: Annotated[float, typer.Option(help="Of one request to --base-url.")] = 3600,
    grams: GramsOption = "paper",
) -> None:
    """Evaluate by the paper's protocol: sampled Pass@1, strict matching on the box.

    Every graded sample is saved at once; run the same command again after any interruption.
    """
    from hicra_verl.append_log import AppendLogError
    from hicra_verl.endpoint import Endpoint
    from hicra_verl.evaluation import engines
    from hicra_verl.evaluation import run as runs
    from hicra_verl.evaluation.summary import summarise, write_summary
    from hicra_verl.grading.pool import GradingPool
    from hicra_verl.grams import GramSetError, load_grams
    from hicra_verl.recipes import RecipeError
    from hicra_verl.version import __version__

    arguments = _arguments(template_argument or [], "--template-argument")
    sampling = engines.Sampling(temperature, top_p, max_tokens, stop or [], arguments)
    vllm_arguments = _arguments(vllm_argument or [], "--vllm-argument")
    each = {name: samples or (1 if temperature == 0 else SAMPLES.get(name, 1)) for name in benchmarks}

    def engine() -> engines.Engine:
        if base_url:
            return engines.EndpointEngine(Endpoint(base_url, model, concurrency, timeout_s), sampling)
        if replicas:
            return engines.RayVllmEngine(replicas, gpus_each, model, sampling, vllm_arguments)
        return engines.VllmEngine(model, sampling, vllm_arguments)

    try:
        row = None if row is None else _row(row)
        gram_set = load_grams(grams)
        items = [item for name in each for item in load_benchmark(name, data / template, limit)]
        settings = {
            "model": model,
            "row": row,
            "template": template,
            "sampling": vars(sampling),
            "samples": samples,
            "limit": limit,
            "seed": seed,
            "hicra_verl": __version__,
        }
        runs.check_settings(output, settings)
        with GradingPool() as pool, _progress() as progress:
            task = progress.add_task("samples", total=sum(each[item.benchmark] for item in items))
            runs.evaluate(items, each, engine, output, seed, pool, lambda count: progress.advance(task, count))
        taken = runs.finished_samples(items, each, output)
    except (AppendLogError, EvaluationError, GramSetError, RecipeError) as error:
        raise fail(str(error)) from error
    figures = {name: summarise(found, gram_set) for name, found in taken.items()}
    write_summary(output, f"{gram_set.name} ({gram_set.sha256[:12]})", figures)
    _print_figures(figures)


def _row(word: str) -> str:
    from hicra_verl.evaluation.results import OWN_ROW, row_name
    from hicra_verl.recipes import RecipeError, all_recipes, recipe

    name = row_name(word, [entry.row for entry in all_recipes()])
    if name == word:
        try:
            recipe(word)
        except RecipeError as error:
            raise RecipeError(f"--row {error} For a row of your own: --row {OWN_ROW}{word}") from error
    return name


def _progress() -> Progress:
    columns = (
        TextColumn("samples"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=plain_console(stderr=True))


def _print_figures(figures: dict[str, dict[str, Any]]) -> None:
    table = Table(title="evaluation", title_justify="left")
    for column in (
        "benchmark",
        "problems",
        "samples",
        "pass@1 %",
        "95% interval",
        "best pass@k",
        "cut off",
        "tokens",
        "sem. entropy (nats)",
    ):
        table.add_column(column, justify="left" if column == "benchmark" else "right")
    for name, found in figures.items():
        low, high = found["pass@1_interval"]
        best = max(int(key.split("@")[1]) for key in found if key.startswith("pass@") and key[5:].isdigit())
        table.add_row(
            name,
            str(found["problems"]),
            str(found["samples"]),
            f"{100 * found['pass@1']:.1f}",
            f"{100 * low:.1f}-{100 * high:.1f}",
            f"pass@{best}: {100 * found[f'pass@{best}']:.1f}",
            f"{found['clip_rate']:.1%}",
            f"{found['length_tokens']:.0f}",
            f"{found['semantic_entropy_nats']:.2f}",
        )
    console = plain_console()
    console.print(table)
    for name, found in figures.items():
        grader = {
            reason: count for reason, count in found["grades"].items() if reason in ("unparsed", "timed_out", "failed")
        }
        if grader:
            listed = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in grader.items())
            console.print(f"{name}: counted as wrong because the grader could not tell: {listed}")
        if "refusal" in found:
            count = found["finish_reasons"][REFUSED]
            console.print(
                f"{name}: counted as wrong because the engine refused the request: {count} of {found['samples']} "
                f"samples (the first: {found['refusal']}); the same command asks for them again"
            )
        rest = {
            reason: count
            for reason, count in found["finish_reasons"].items()
            if reason not in ("stop", "length", REFUSED)
        }
        if rest:
            listed = ", ".join(f"{count} {reason}" for reason, count in rest.items())
            console.print(f"{name}: responses that ended neither by themselves nor at --max-tokens: {listed}")


@app.command()
def table(
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RESULT…]", help="Folders of `hicra eval`; several of one row are its seeds."),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="text, markdown, latex or html.")] = "text",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write here instead of printing.")] = None,
) -> None:
    """The paper's tables with results in their place; what was never run stays blank.

    Rows of one's own and further benchmarks follow the paper's. HICRA less GRPO is paired by problem, with a 95%
    bootstrap interval and what it says about chance.
    """
    from hicra_verl.evaluation import table_formats as formats
    from hicra_verl.evaluation.results import load_results
    from hicra_verl.evaluation.table import build

    if form not in formats.FORMATS:
        raise fail(f"--format {form}: {nearest(form, list(formats.FORMATS))}")
    if form == "text" and output is not None:
        raise fail("--output needs --format markdown, latex or html")
    try:
        built = build(load_results(results or []))
    except EvaluationError as error:
        raise fail(str(error)) from error
    if form == "text":
        formats.print_text(built)
        return
    rendered = formats.render(built, form)
    if output is None:
        print(rendered)
    else:
        output.write_text(rendered, encoding="utf-8")
