"""`hicra forks`."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bad_input import Case
from small_runs import link, without

ROWS = '{"problem": "p", "response": "so we can see that"}\n{"input": "", "output": "but wait"}\n'
EVIL = "</span><script>window.evil=1</script><img src=x onerror=x>"


@cache
def model_folder() -> Path:
    """A model of two layers, made once."""
    import tiny_model
    import torch
    from transformers import AutoModelForCausalLM  # noqa: F401 (seconds, which are not the case's)

    folder = Path(tempfile.mkdtemp(prefix="hicra_cases_"))
    tokenizer = tiny_model.train_tokenizer(["so we can see that but wait p"] * 3)
    torch.manual_seed(0)
    tiny_model.new_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def model(**files: bytes | str | None) -> Callable[[Path], None]:
    """Put a model into the case's folder, with some files replaced (None: taken away); _ stands for a dot."""

    def make(folder: Path) -> None:
        shutil.copytree(model_folder(), folder / "model")
        for name, content in files.items():
            path = folder / "model" / name.replace("__", ".")
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def configured(**changes: Any) -> Callable[[Path], None]:
    """A model whose config.json says something else."""

    def make(folder: Path) -> None:
        model()(folder)
        path = folder / "model" / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return make


def with_own_code(folder: Path) -> None:
    """A model that brings code along; running it leaves a file behind."""
    auto = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    configured(auto_map=auto, model_type="own", architectures=["OwnModel"])(folder)
    (folder / "model" / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\n")


def weights_of_nan(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    model()(folder)
    path = folder / "model" / "model.safetensors"
    save_file(
        {name: torch.full_like(one, float("nan")) for name, one in load_file(path).items()}, path, {"format": "pt"}
    )


def bad(name: str, *says: str, rows: Any = ROWS, more: tuple[str, ...] = (), prepare: Any = None, **rest: Any) -> Case:
    files = {"r.jsonl": rows, **rest.pop("files", {})}
    return Case(name, ["forks", "r.jsonl", "--model", "model", *more], says, files, prepare or model(), **rest)


def bad_model(name: str, *says: str, **rest: Any) -> Case:
    return bad(name, "model", *says, absent=("forks/forks.csv",), **rest)


def numbers(folder: Path, printed: str) -> None:
    with (folder / "forks" / "forks.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 4 * 6


def inert(folder: Path, printed: str) -> None:
    page = (folder / "forks" / "forks.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img" not in page


CASES = [
    Case("no rollouts given", ["forks", "--model", "model"], ("Missing argument",)),
    Case("no model given", ["forks", "r.jsonl"], ("--model",), {"r.jsonl": ROWS}),
    bad("rows as they should be", "95% intervals", code=0, after=numbers),
    # Rows.
    Case(
        "no such rollouts",
        ["forks", "absent.jsonl", "--model", "model"],
        ("absent.jsonl", "no such file"),
        prepare=model(),
    ),
    bad("rollouts that are empty", "r.jsonl", "holds no rows", rows=""),
    bad("rollouts in UTF-16", "line 1", "save the file as UTF-8", rows=ROWS.encode("utf-16")),
    bad("rollouts nested too deep", "line 1", "nested too deep", rows="[" * 100_000),
    bad("a row without a response", "line 1", "'response' or 'output'", rows='{"a": 1}\n'),
    bad("a response that is null", "line 1", "'response'", "null", rows='{"response": null}\n'),
    bad("a prompt that is a list", "line 1", "'problem'", "a list", rows='{"problem": ["x"], "response": "so"}\n'),
    bad("a response with half a character", "line 1", "half", rows='{"response": "\\ud83d"}\n'),
    bad("responses that are all empty", "no response with text", rows='{"problem": "p", "response": ""}\n'),
    bad(
        "a response beyond the first rows wanted",
        code=0,
        rows=ROWS + "[" * 100_000,
        more=("--limit", "2"),
        after=numbers,
    ),
    bad(
        "rollouts that are a folder",
        "r",
        rows=ROWS,
        prepare=lambda folder: (model()(folder), (folder / "r.jsonl").unlink(), (folder / "r.jsonl").mkdir())[0],
    ),
    bad(
        "rollouts that are a link to itself",
        "r.jsonl",
        prepare=lambda folder: (model()(folder), (folder / "r.jsonl").unlink(), link("r.jsonl", "r.jsonl")(folder))[0],
    ),
    Case(
        "a Parquet file that is none",
        ["forks", "r.parquet", "--model", "model"],
        ("r.parquet", "Parquet"),
        {"r.parquet": "PAR1 no table"},
        model(),
    ),
    bad("markup in a response", code=0, rows=json.dumps({"response": f"so {EVIL} but wait"}) + "\n", after=inert),
    Case(
        "markup in a file's name",
        ["forks", "<img src=x onerror=x>.jsonl", "--model", "model"],
        (),
        {"<img src=x onerror=x>.jsonl": ROWS},
        model(),
        code=0,
        after=inert,
    ),
    # Options.
    bad("a limit of zero", "--limit", more=("--limit", "0")),
    bad("a limit below zero", "--limit", more=("--limit", "-5")),
    bad("a limit that is an odd digit", "--limit", more=("--limit", "²")),
    bad("a temperature of zero", "--temperature", "above 0", more=("--temperature", "0")),
    bad("a temperature below zero", "--temperature", more=("--temperature", "-1")),
    bad("a temperature that is no number", "--temperature", more=("--temperature", "nan")),
    bad("a temperature that is infinite", "--temperature", more=("--temperature", "inf")),
    bad("a device of no kind", "--device", more=("--device", "nonsense")),
    bad("a device that is not here", "--device", more=("--device", "xpu:7")),
    bad("no such gram set", "absent.json", more=("--grams", "absent.json")),
    # Models.
    Case("no such model", ["forks", "r.jsonl", "--model", "./absent"], ("absent",), {"r.jsonl": ROWS}),
    Case("a model that is a file", ["forks", "r.jsonl", "--model", "r.jsonl"], ("r.jsonl",), {"r.jsonl": ROWS}),
    bad_model("weights that are none", "--model", prepare=model(model__safetensors=b"\x00garbage")),
    bad_model("weights that are empty", "--model", prepare=model(model__safetensors=b"")),
    bad_model(
        "weights cut short",
        "--model",
        prepare=lambda folder: model(model__safetensors=(model_folder() / "model.safetensors").read_bytes()[:5000])(
            folder
        ),
    ),
    bad_model("no weights", "--model", prepare=model(model__safetensors=None)),
    bad_model("weights of NaN", "NaN", prepare=weights_of_nan),
    bad_model(
        "a pickle in the place of weights",
        "--model",
        prepare=model(model__safetensors=None, pytorch_model__bin=b"cos\nsystem\n(S'touch ran'\ntR."),
    ),
    bad_model("a config that is no JSON", prepare=model(config__json="{")),
    bad_model("a config that is a list", prepare=model(config__json="[1]")),
    bad_model("a config of another shape", "--model", prepare=configured(hidden_size=64)),
    bad_model("a config of texts", "hidden_size", prepare=configured(hidden_size="many")),
    bad_model("a model of an unknown kind", prepare=configured(model_type="unheard-of")),
    bad_model("a tokenizer that is none", prepare=model(tokenizer__json="{}")),
    bad_model("a tokenizer's config that is a list", prepare=model(tokenizer_config__json="[1]")),
    Case(
        "a model with code of its own",
        ["forks", "r.jsonl", "--model", "model"],
        ("model", "does not run"),
        {"r.jsonl": ROWS},
        with_own_code,
        absent=("ran", "forks/forks.csv"),
        stdin="y\n",
    ),
    bad("a response longer than the model's positions", code=0, rows=json.dumps({"response": "so " * 600}) + "\n"),
    # Where it is written.
    bad("an output that is a file", "forks", "is a file", files={"forks": "mine"}, kept=("forks",)),
    bad("an output that is the model's folder", "among the files of model", more=("-o", "model")),
    bad("an output under /proc", "/proc/1/x", "cannot be written", more=("-o", "/proc/1/x")),
    bad(
        "a folder where the page should be",
        "forks.html",
        "is a folder",
        files={"forks/forks.html/x": ""},
        absent=("forks/forks.csv",),
    ),
    bad(
        "an output that is its own input",
        "would replace the input",
        files={"out/forks.csv": ROWS},
        prepare=lambda folder: (
            model()(folder),
            (folder / "r.jsonl").unlink(),
            link("r.jsonl", "out/forks.csv")(folder),
        )[0],
        more=("-o", "out"),
        kept=("out/forks.csv",),
    ),
    bad(
        "a nearly full disk",
        "forks.csv",
        "what was there before",
        files={"forks/forks.csv": "the old numbers"},
        kept=("forks/forks.csv",),
        file_limit=200,
    ),
    bad(
        "transformers is not installed",
        "transformers",
        prepare=lambda folder: (model()(folder), without("transformers", unload="hicra_verl.analysis")(folder))[1],
    ),
]
