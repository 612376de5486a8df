"""Models that always say the same: real architectures whose next token depends on the last one alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers
from conftest import real_tokenizer


def speak(model: Any, chain: list[int]) -> None:
    """Let ``model`` continue ``chain[i]`` by ``chain[i + 1]``, and whatever else by token 0; greedily."""
    language = model.model.language_model if hasattr(model.model, "language_model") else model.model
    with torch.no_grad():
        for layer in language.layers:  # nothing but the embedding reaches the end
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        table = language.embed_tokens.weight
        table.copy_(torch.nn.functional.normalize(torch.randn(table.shape), dim=1))
        model.lm_head.weight.zero_()
        for here, after in pairwise(chain):
            model.lm_head.weight[after] += table[here]


def chain(tokenizer: Any, answer: str, then: str) -> list[int]:
    """After the chat format's last line break: ``answer``, ``<|im_end|>``, and ``then`` for ever."""
    ids = tokenizer.encode("\n" + answer + "<|im_end|>" + then, add_special_tokens=False)
    assert len(set(ids)) == len(ids), "a token would have two that follow it"
    return [*ids, ids[-1]]


def base_model(folder: Path, answer: str, then: str) -> Path:
    """A base model as Qwen's are: it writes ``<|im_end|>``, and ends at ``<|endoftext|>`` only."""
    tokenizer = real_tokenizer("qwen3")
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    speak(model, chain(tokenizer, answer, then))
    tokenizer.eos_token = "<|endoftext|>"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def vision_model(folder: Path, answer: str) -> None:
    """Let the tiny Qwen2.5-VL that ``vision.make_model`` left in ``folder`` answer any question and any image so."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = False
    torch.manual_seed(0)
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    speak(model, chain(tokenizer, answer, "x"))
    model.save_pretrained(folder)
