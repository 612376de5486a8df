"""What a recipe costs: hours, GPU-hours and disk, estimated from the very words that its script runs.

An estimate of ours for A100-80G, never measured: the assumptions below are all that goes in beside the script's own
settings and the model's shape. `hicra recipes costs` prints it, and recipes/README.md holds the same table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hicra_verl.data.sources import SOURCES
from hicra_verl.evaluation.benchmarks import SAMPLES
from hicra_verl.recipes import Recipe, RecipeError, words
from hicra_verl.records import read_json
from hicra_verl.training.launch import settings_of
from hicra_verl.training.stages import load_plan

# --- assumptions, ours, never measured --------------------------------------------------------------------------------
DECODED_BILLIONS_PER_S = 15_000  # ours: tokens/s x billions of parameters, a GPU: 2,000 tokens/s at 7.6 billion
FLOPS = 125e12  # ours: 40% of an A100's 312e12, in bfloat16
FLOPS_PER_TOKEN = 10  # per parameter: old log-probabilities 2, update 6, recomputed activations 2
PROMPT_TOKENS = 200  # ours
GROUPS_DRAWN = 2.0  # ours: with dynamic filtering, for each group kept
START_H = 0.2  # ours: processes, weights, CUDA graphs
CHECKPOINT_BYTES = 12  # per parameter: weights and two moments in 32 bits
MERGED_BYTES = 2  # per parameter: the model as it is evaluated, in 16 bits
WRITTEN_BYTES_PER_S = 1e9  # ours: to the shared disk, a node
TEXT_BYTES_PER_TOKEN = 4  # ours: of the rollouts kept as text
TRAINED_BYTES = 16  # per parameter: weights, gradients and two moments in 32 bits
LOGITS_BYTES = 6  # per token and word: logits, their gradient and a copy in 16 bits
GPU_GB = 80.0  # paper: A100-80G
EVALUATION_GPUS = 8  # ours: one node


@dataclass(frozen=True)
class Shape:
    """A model's shape, from its published configuration, and how long its responses are taken to be (ours)."""

    parameters: float
    layers: int
    hidden: int
    vocabulary: int
    response_tokens: int = 4096


MODELS = {
    "Qwen/Qwen3-4B-Instruct-2507": Shape(4.02e9, 36, 2560, 151936, 8192),
    "Qwen/Qwen3-4B": Shape(4.02e9, 36, 2560, 151936, 8192),
    "Qwen/Qwen3-4B-Base": Shape(4.02e9, 36, 2560, 151936),
    "Qwen/Qwen2.5-7B": Shape(7.62e9, 28, 3584, 152064),
    "Open-Reasoner-Zero/Open-Reasoner-Zero-7B": Shape(7.62e9, 28, 3584, 152064),
    "hkust-nlp/Qwen-2.5-7B-SimpleRL-Zoo": Shape(7.62e9, 28, 3584, 152064),
    "meta-llama/Llama-3.1-8B": Shape(8.03e9, 32, 4096, 128256),
    "meta-llama/Llama-3.1-8B-Instruct": Shape(8.03e9, 32, 4096, 128256),
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": Shape(8.03e9, 32, 4096, 128256, 8192),
    "XiaomiMiMo/MiMo-VL-7B-SFT-2508": Shape(8.31e9, 36, 4096, 151680, 2048),
    "Qwen/Qwen2.5-VL-7B-Instruct": Shape(8.29e9, 28, 3584, 152064, 2048),
    "Qwen/Qwen2.5-1.5B": Shape(1.54e9, 28, 1536, 151936, 1024),
}


@dataclass(frozen=True)
class Cost:
    """An estimate.

    Attributes:
        gpus: GPUs in use.
        hours: by what they go to; "generation", "update", "validation", "saving" and "start", or "evaluation".
        disk_gb: at the end of the run, at the most.
        memory_gb: of one GPU during the update, at the longest context; 0 for an evaluation.
    """

    gpus: int
    hours: dict[str, float]
    disk_gb: float
    memory_gb: float

    @property
    def total_hours(self) -> float:
        return sum(self.hours.values())

    @property
    def gpu_hours(self) -> float:
        return self.gpus * self.total_hours


def shape_of(model: str) -> Shape | None:
    """The shape of a published model, or of a model folder by its config.json; None for another name on the hub."""
    if model in MODELS:
        return MODELS[model]
    file = Path(model) / "config.json"
    if not file.exists():
        return None
    config = read_json(file, "give a folder in Hugging Face's format")
    config = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    sizes = {key: str(config.get(key)) for key in ("num_hidden_layers", "hidden_size", "vocab_size")}
    layers, hidden, vocabulary = (_whole(sizes, key) for key in sizes)
    inner = _whole({"intermediate_size": str(config.get("intermediate_size", 4 * hidden))}, "intermediate_size")
    # Attention about 3 (with grouped keys and values), the feed-forward part 3 x its width, in units of hidden.
    embeddings = vocabulary * hidden * (1 if config.get("tie_word_embeddings") else 2)
    per_layer = hidden * (3 * hidden + 3 * inner)
    return Shape(float(layers * per_layer + embeddings), layers, hidden, vocabulary)


def cost_of(entry: Recipe, overrides: list[str] | None = None) -> Cost | None:
    """The cost of a row as its script stands (and as the environment's knobs have it); None for an unknown model."""
    command = words(entry, overrides or [])
    return training_cost(command) if entry.trains else evaluation_cost(command)


def training_cost(command: list[str]) -> Cost | None:
    """The cost of a recipe's training command."""
    given = settings_of(command)
    shape = shape_of(given["actor_rollout_ref.model.path"])
    if shape is None:
        return None
    nodes, gpus_each = _whole(given, "trainer.nnodes"), _whole(given, "trainer.n_gpus_per_node")
    gpus, steps = nodes * gpus_each, _whole(given, "trainer.total_training_steps")
    first, longest = context_of(command, given)
    length = min(shape.response_tokens, first)
    responses = _whole(given, "data.train_batch_size") * _whole(given, "actor_rollout_ref.rollout.n")
    drawn = GROUPS_DRAWN if given.get("algorithm.filter_groups.enable") == "True" else 1.0
    generated_per_s = gpus * DECODED_BILLIONS_PER_S / (shape.parameters / 1e9)
    trained_flops = responses * (length + PROMPT_TOKENS) * FLOPS_PER_TOKEN * shape.parameters
    validated = _problems(given["data.val_files"]) * _whole(given, "actor_rollout_ref.rollout.val_kwargs.n")
    test_freq, save_freq = (_whole(given, f"trainer.{name}_freq", -1) for name in ("test", "save"))
    validations = steps // test_freq + 1 if test_freq > 0 else 0
    saves = math.ceil(steps / save_freq) if save_freq > 0 else 0
    checkpoint = CHECKPOINT_BYTES * shape.parameters
    seconds = {
        "generation": steps * responses * drawn * length / generated_per_s,
        "update": steps * trained_flops / (gpus * FLOPS),
        "validation": validations * validated * length / generated_per_s,
        "saving": saves * checkpoint / (nodes * WRITTEN_BYTES_PER_S),
        "start": 3600 * START_H,
    }
    texts = (steps * responses * drawn + validations * validated) * length * TEXT_BYTES_PER_TOKEN
    # The last ones, and the best one.
    kept = min(saves, _whole(given, "trainer.max_actor_ckpt_to_keep") + 1)
    disk = kept * checkpoint + MERGED_BYTES * shape.parameters + texts
    hours = {name: value / 3600 for name, value in seconds.items()}
    return Cost(gpus, hours, disk / 1e9, _memory_gb(shape, gpus, longest))


def evaluation_cost(command: list[str]) -> Cost | None:
    """The cost of a recipe's evaluation, of all benchmarks it names."""
    shape = shape_of(command[command.index("--model") + 1])
    if shape is None:
        return None
    samples = sum((SOURCES[name].rows or 0) * SAMPLES.get(name, 1) for name in command if name in SOURCES)
    tokens = samples * shape.response_tokens
    seconds = tokens * (shape.parameters / 1e9) / (EVALUATION_GPUS * DECODED_BILLIONS_PER_S)
    hours = {"evaluation": seconds / 3600, "start": START_H}
    return Cost(EVALUATION_GPUS, hours, tokens * TEXT_BYTES_PER_TOKEN / 1e9, 0)


def context_of(command: list[str], given: Mapping[str, str]) -> tuple[int, int]:
    """The longest response of the first stage, and the longest prompt and response together of any."""
    stages = load_plan(Path(command[command.index("stages") + 1])).stages if "stages" in command else ()
    set_to = [stage.settings[_RESPONSE] for stage in stages if _RESPONSE in stage.settings] or [
        given.get(_RESPONSE, "")
    ]
    lengths = [_whole({_RESPONSE: str(value)}, _RESPONSE) for value in set_to]
    return lengths[0], _whole(given, "data.max_prompt_length") + max(lengths)


def _whole(given: Mapping[str, str], setting: str, least: int = 1) -> int:
    text = given.get(setting, "")
    if not re.fullmatch(r"-?[0-9]{1,12}", text) or int(text) < least:
        raise RecipeError(f"expected a whole number of at least {least}, got {text[:60]!r}", field=setting)
    return int(text)


_RESPONSE = "data.max_response_length"


def _problems(files: str) -> int:
    known = [SOURCES.get(name) for name in re.findall(r"(\w+)\.parquet", files)]
    return sum((source and source.rows) or 100 for source in known)  # ours: a file of your own counts as 100


def _memory_gb(shape: Shape, gpus: int, tokens: int) -> float:
    """Of one GPU during the update of ``tokens`` tokens: FSDP over all GPUs, each layer's input kept, the rest
    recomputed."""
    gathered = 2 * 2 * shape.parameters / shape.layers  # a layer and its gradient in 16 bits
    activations = 2 * tokens * shape.hidden * shape.layers
    logits = LOGITS_BYTES * tokens * shape.vocabulary
    return (TRAINED_BYTES * shape.parameters / gpus + gathered + activations + logits) / 1e9


# --- the table --------------------------------------------------------------------------------------------------------


def rounded(value: float) -> str:
    """Two digits that count: 1,234 is 1,200."""
    if value < 1:
        return f"{value:.1f}"
    digits = max(0, int(math.log10(value)) - 1)
    return f"{round(value / 10**digits) * 10**digits:,.0f}"


def markdown(recipes: list[Recipe]) -> str:
    """The rows of recipes/README.md, with their costs, and the sums.

    Raises:
        RecipeError: if a script's model has no known shape.
    """
    lines = ["| row | script | paper | GPUs | hours | GPU-hours | disk, GB | status |", "|" + "---|" * 8]
    sums = {True: [0.0, 0.0, 0.0], False: [0.0, 0.0, 0.0]}
    for entry in recipes:
        cost = cost_of(entry)
        if cost is None:
            raise RecipeError(f"{entry.row}: its model's shape is not in hicra_verl/recipe_costs.py")
        if entry.source != "smoke":
            for place, value in enumerate((1.0, cost.gpu_hours, cost.disk_gb)):
                sums[entry.trains][place] += value
        paper = {"review": f"{entry.printed} (authors in review)", "smoke": "(smoke)"}.get(entry.source, entry.printed)
        figures = f"{cost.gpus} | {rounded(cost.total_hours)} | {rounded(cost.gpu_hours)} | {rounded(cost.disk_gb)}"
        name = f"{entry.model}, {entry.method}"
        lines.append(f"| {name} | `{entry.row}.sh` | {paper or '(figures only)'} | {figures} | {entry.status} |")
    trained, hours, disk = sums[True]
    published, published_hours, _ = sums[False]
    lines += [
        "",
        f"All of the paper's rows: {trained:.0f} trainings, about {rounded(hours)} GPU-hours, and "
        f"{rounded(disk / 1000)} TB of disk if every run is kept; {published:.0f} evaluations of published "
        f"checkpoints, about {rounded(published_hours)} GPU-hours. Evaluating a trained row costs what its Base row "
        "costs.",
    ]
    return "\n".join(lines)
