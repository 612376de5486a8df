"""A tiny random Qwen2.5-VL with images to look at, for the vision-language recipes on a CPU."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT, real_tokenizer
from PIL import Image
from transformers import AutoTokenizer

from hicra_verl.data.prepare import verl_row
from hicra_verl.data.problems import Problem

# torchvision, which only image processors need; kept out of the environment that everything else uses.
TORCHVISION = ROOT / "runs" / "vision"

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def environment() -> dict[str, str]:
    if not (TORCHVISION / "torchvision").exists():
        pytest.skip(f"torchvision absent: {TORCHVISION} (`make material` fetches it)")
    return {"PYTHONPATH": str(TORCHVISION)}


def make_in_a_process(folder: Path) -> Path:
    """``make_model`` with torchvision on the path, which this process does not have."""
    path = os.pathsep.join([str(TORCHVISION), *sys.path])
    subprocess.run(
        [sys.executable, __file__, str(folder)], env={**os.environ, **environment(), "PYTHONPATH": path}, check=True
    )
    return folder


def prompt_tokens(folder: Path) -> float:
    """Mean length of the training prompts: text, chat format, and the four tokens of a 56 x 56 image."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    lengths = []
    for row in pq.read_table(folder / "train.parquet").to_pylist():
        text = row["prompt"][0]["content"].replace(
            "<image>", "<|vision_start|>" + "<|image_pad|>" * 4 + "<|vision_end|>"
        )
        whole = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        lengths.append(len(tokenizer(whole)["input_ids"]))
    return sum(lengths) / len(lengths)


def make_model(folder: Path) -> Path:
    """Write model, processor and problems; run in a process that has torchvision on its path."""
    import verl  # noqa: F401  declares what torchvision lacks without CUDA
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = real_tokenizer("qwen3")
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 1024,
            "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_heads": 4,
            "out_hidden_size": 128,
            "fullatt_block_indexes": [1],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        vision_token_id=token("<|vision_pad|>"),
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder / "model")
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=CHAT_TEMPLATE,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    processor.save_pretrained(folder / "model")
    colours = ["red", "green", "blue", "white"]
    for name, count in (("train", 16), ("test", 4)):
        rows = []
        for number in range(count):
            stream = io.BytesIO()
            Image.new("RGB", (56, 56), colours[number % 4]).save(stream, "PNG")
            problem = Problem(f"Which colour is number {number}?", "red", images=({"bytes": stream.getvalue()},))
            rows.append(verl_row(problem, "colours", number, "vision", name == "train"))
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return folder


if __name__ == "__main__":
    make_model(Path(sys.argv[1]))
