"""`hicra eval` and `hicra table`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from hicra_verl.cli.app import GramsOption, app
from hicra_verl.evaluation.benchmarks import TEMPERATURE, TOP_P

Names = Annotated[
    list[str], Argument(metavar="BENCHMARK…", help="aime24, math500…; or your own: DATA/TEMPLATE/NAME.parquet.")
]
Model = Annotated[str, Option("--model", help="Folder or hub name; with --base-url, the server's name for it.")]
Row = Annotated[
    str | None, Option("--row", help="The row this fills (see `hicra recipes`), or one of your own: new:MODEL_METHOD.")
]
Stop = Annotated[
    list[str] | None, Option(help="A text that ends a response, such as '<|im_end|>' for base Qwen models; repeatable.")
]
Samples = Annotated[
    int | None, Option(min=1, max=100_000, help="A problem. Paper: 32 for AIME24 and AIME25, 4 for AMC23, else 1.")
]
Replicas = Annotated[int, Option(min=0, help="vLLM copies over a Ray cluster's GPUs; 0: one, in this process.")]
ForTemplate = Annotated[
    list[str] | None, Option(help="KEY=VALUE for the chat template, such as enable_thinking=false.")
]
ForVllm = Annotated[list[str] | None, Option(help="KEY=VALUE for vllm.LLM, such as max_model_len=32768.")]


@app.command(name="eval")
def evaluate(
    benchmarks: Names,
    model: Model,
    output: Annotated[Path, Option("-o", "--output", help="Folder; an evaluation begun there goes on.")],
    data: Annotated[Path, Option("--data", help="Where `hicra data` wrote.")] = Path("data"),
    template: Annotated[str, Option("--template", help="The prompt template, as for `hicra data`.")] = "qwen",
    row: Row = None,
    base_url: Annotated[str | None, Option(help="An OpenAI-compatible server instead of vLLM here.")] = None,
    replicas: Replicas = 0,
    gpus_each: Annotated[int, Option(min=1, help="GPUs of each copy (tensor parallel).")] = 1,
    temperature: Annotated[float, Option(help="Paper: 0.6. At 0, one sample a problem.")] = TEMPERATURE,
    top_p: Annotated[float, Option(help="Ours, as DeepSeek-R1's protocol.")] = TOP_P,
    max_tokens: Annotated[int, Option(help="Of a response; ours: the paper's longer context.")] = 30720,
    stop: Stop = None,
    samples: Samples = None,
    limit: Annotated[int | None, Option(min=1, help="Only the first N problems of each; tables mark it.")] = None,
    seed: Annotated[int, Option(help="Each sample's seed follows from it.")] = 0,
    template_argument: ForTemplate = None,
    vllm_argument: ForVllm = None,
    concurrency: Annotated[int, Option(min=1, max=1024, help="Requests in flight to --base-url.")] = 64,
    timeout_s: Annotated[float, Option(min=0.01, max=604_800, help="Of one request to --base-url.")] = 3600,
    grams: GramsOption = "paper",
) -> None:
    """Evaluate by the paper's protocol: sampled Pass@1, strict matching on the box.

    Every graded sample is saved at once; run the same command again after any interruption.
    """
    from hicra_verl.evaluation.protocol import Evaluation, key_values, run_evaluation, sample_bar
    from hicra_verl.evaluation.sampling import Sampling
    from hicra_verl.recipes import row_name_of

    for_template = key_values(template_argument or [], "--template-argument")
    for_vllm = key_values(vllm_argument or [], "--vllm-argument")
    sampling = Sampling(temperature, top_p, max_tokens, stop or [], for_template)
    row = None if row is None else row_name_of(row)
    what = (benchmarks, model, output, sampling, data, template, row, samples, limit, seed, grams)
    asked = Evaluation(*what, base_url, replicas, gpus_each, for_vllm, concurrency, timeout_s)
    with sample_bar() as progress:
        figures = run_evaluation(asked, progress)
    figures.print()


@app.command()
def table(
    results: Annotated[
        list[Path] | None, Argument(metavar="[RESULT…]", help="Folders of `hicra eval`; several of one row: its seeds.")
    ] = None,
    form: Annotated[str, Option("--format", help="text, markdown, latex or html.")] = "text",
    output: Annotated[Path | None, Option("-o", "--output", help="Write here instead of printing.")] = None,
) -> None:
    """The paper's tables with results in their place; what was never run stays blank.

    Rows of one's own and further benchmarks follow the paper's. HICRA less GRPO is paired by problem, with a 95%
    bootstrap interval and what it says about chance.
    """
    from hicra_verl.evaluation.results import load_results, result_files
    from hicra_verl.evaluation.table import build
    from hicra_verl.files import check_outputs, write_text
    from hicra_verl.tables import check_format, render

    check_format(form, to_file=output is not None)
    if output is not None:
        check_outputs(output, inputs=result_files(results or []))
    tables = build(load_results(results or []))
    if output is not None:
        write_text(output, render(tables, form))
    elif form == "text":
        for found in tables:
            found.print()
    else:
        typer.echo(render(tables, form))
