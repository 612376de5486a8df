"""Make the tokenizers of tests/fixtures: small, and of the two kinds that HICRA reads (`python make_fixtures.py`)."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
VOCABULARY = 600
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def responses() -> list[str]:
    """The made-up responses that the tokenizers are trained on."""
    lines = (FIXTURES / "responses.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["response"] for line in lines]


def byte_level(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as Qwen and Llama 3 have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens(["</think>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=SPECIAL[0], pad_token=SPECIAL[0])


def sentencepiece(texts: list[str]) -> PreTrainedTokenizerFast:
    """BPE over characters with a byte for whatever has no piece, as Llama 2 and Gemma have it."""
    unknown = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<unk>", "</s>", *unknown], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    kept = json.loads(tokenizer.to_str())
    # Bytes are ordinary pieces: an added token would be matched in the text.
    kept["added_tokens"] = [entry for entry in kept["added_tokens"] if entry["content"] not in unknown]
    tokenizer = Tokenizer.from_str(json.dumps(kept))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="</s>")


def main() -> None:
    for name, make in (("byte_level", byte_level), ("sentencepiece", sentencepiece)):
        tokenizer = make(responses())
        tokenizer.chat_template = CHAT_TEMPLATE if name == "byte_level" else None
        tokenizer.save_pretrained(FIXTURES / "tokenizers" / name)


if __name__ == "__main__":
    main()
