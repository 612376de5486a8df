"""A model of about a million parameters that can read and write the planning world.

Its tokenizer is a byte-level BPE trained on the traces; its weights are warm-started on them. Both are saved as an
ordinary Hugging Face model folder, which is all verl and vLLM need to know.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import torch
from planning_world import Problem, trace
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

BATCH = 64
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] + '\\n' }}{% endfor %}"


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most 512 tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<|end|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def new_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """Qwen2 with two layers of width 128; heads of 32, the smallest vLLM's CPU attention takes."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=512,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def warm_start(problems: list[Problem], folder: Path, seed: int, steps: int) -> None:
    """Train on traces of ``problems`` and save model and tokenizer to ``folder``."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    pairs = [(f"{problem.text}\n", trace(problem, rng)) for problem in problems]
    tokenizer = train_tokenizer([prompt + answer for prompt, answer in pairs])
    model = new_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps, pct_start=0.1)

    encoded = [(tokenizer(p)["input_ids"], [*tokenizer(a)["input_ids"], tokenizer.eos_token_id]) for p, a in pairs]
    # Neighbours in length share a batch, so that little of it is padding; the order of the batches is random.
    encoded.sort(key=lambda pair: (len(pair[0]) + len(pair[1]), rng.random()))
    order = rng.sample(range(0, len(encoded) - BATCH, BATCH), len(encoded) // BATCH - 1)
    columns = (TextColumn("warm start"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
    started = time.monotonic()
    with Progress(*columns) as progress:
        task = progress.add_task("warm start", total=steps, loss="")
        for step in range(steps):
            batch = encoded[order[step % len(order)] : order[step % len(order)] + BATCH]
            width = max(len(prompt) + len(answer) for prompt, answer in batch)
            ids_B_T = torch.full((len(batch), width), tokenizer.pad_token_id)
            labels_B_T = torch.full((len(batch), width), -100)
            for row, (prompt, answer) in enumerate(batch):
                ids_B_T[row, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
                labels_B_T[row, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
            loss = model(input_ids=ids_B_T, attention_mask=ids_B_T != tokenizer.pad_token_id, labels=labels_B_T).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress.update(task, advance=1, loss=f"loss {loss.item():.3f}")
    print(f"warm start: {steps} steps in {time.monotonic() - started:.0f} s, final loss {loss.item():.3f}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
