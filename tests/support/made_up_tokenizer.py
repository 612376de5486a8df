"""A tokenizer of single bytes, as small as one can be, for tests that only need one that works."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

END = "<|end|>"


@cache
def definition() -> str:
    """Its ``tokenizer.json``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({char: place for place, char in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END])
    return str(tokenizer.to_str())


def save_tokenizer(folder: Path) -> Path:
    """Write it as a folder that ``AutoTokenizer`` reads: ids 0 to 255 are bytes, 256 ends a text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(definition(), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
