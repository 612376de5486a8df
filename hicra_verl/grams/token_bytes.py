"""The bytes that each token of a tokenizer stands for.

A response's text is the concatenation of its tokens' bytes. Decoding and re-encoding text loses which token a byte
came from (and, for tokens that end inside a character, the byte itself), so matching works on this table instead.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hicra_verl.errors import HicraError
from hicra_verl.records import InputError, read_json


class UnsupportedTokenizerError(HicraError):
    """The tokenizer does not say which bytes its tokens stand for."""


def load_tokenizer(name: str) -> tuple[Any, list[bytes | None]]:
    """A tokenizer, and the bytes of each of its ids.

    Code that a tokenizer's folder brings along is not run, and nobody is asked whether it should be.

    Args:
        name: a folder with ``tokenizer.json``, or a name on the hub.

    Raises:
        UnsupportedTokenizerError: if it cannot be loaded, or does not say which bytes its tokens stand for.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        return tokenizer, token_bytes(tokenizer)
    except UnsupportedTokenizerError:
        raise
    except Exception as error:  # whatever a damaged file makes that library raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        damaged = (Path(name) / "tokenizer.json").exists()
        for file in ("tokenizer.json", "tokenizer_config.json"):
            if (Path(name) / file).is_file():
                reason = _not_json(Path(name) / file) or reason
        remedy = "download it again" if damaged else "give a folder with tokenizer.json, or a name on the hub"
        raise UnsupportedTokenizerError(f"the tokenizer {name} cannot be loaded ({reason})", remedy=remedy) from error


def _not_json(path: Path) -> str:
    """Why a file holds no JSON object, in better words than the library's; "" if it does."""
    try:
        read_json(path, "")
    except InputError as error:
        return f"{path.name}: {error.problem}"
    return ""


def token_bytes(tokenizer: Any) -> list[bytes | None]:
    """Return the bytes of every token id of a Hugging Face fast tokenizer.

    Args:
        tokenizer: a ``PreTrainedTokenizerFast`` (byte-level BPE, or SentencePiece-style with "▁" for a space and
            optionally ``<0xNN>`` byte tokens).

    Returns:
        A list indexed by token id. ``None`` marks ids that never match and that break a match: special tokens, added
        tokens (chat markup, ``<think>``) and ids without a token. One kind of added token is ordinary text: those
        that are white space and nothing else, which is how Gemma's vocabulary lists its newlines.

    Raises:
        UnsupportedTokenizerError: for a slow tokenizer, or one whose decoder has no byte mapping (WordPiece…).
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    name = getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
    if backend is None:
        raise UnsupportedTokenizerError(
            f"tokenizer {name!r} is a slow one ({type(tokenizer).__name__}): HICRA needs a tokenizer.json to know the "
            "bytes of each token. Load it with use_fast=True, or convert it once with "
            "transformers.AutoTokenizer.from_pretrained(…).save_pretrained(…)."
        )
    definition = json.loads(backend.to_str())
    kinds = _decoder_kinds(definition.get("decoder"))
    if "ByteLevel" in kinds:
        to_bytes = _byte_level_piece
    elif (
        "Metaspace" in kinds or "ByteFallback" in kinds or "▁" in json.dumps(definition["decoder"], ensure_ascii=False)
    ):
        to_bytes = _sentencepiece_piece
    else:
        raise UnsupportedTokenizerError(
            f"tokenizer {name!r} has no byte mapping HICRA knows (decoder: {sorted(kinds) or 'none'}). Byte-level BPE "
            "and SentencePiece-style tokenizers are supported; WordPiece and character tokenizers are not, because "
            "their tokens do not spell out the text."
        )

    added = {token["id"]: token for token in definition["added_tokens"]}
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    table: list[bytes | None] = [None] * (max(vocabulary.values(), default=-1) + 1)
    for piece, token_id in vocabulary.items():
        if token_id not in added:
            table[token_id] = to_bytes(piece)
        elif not added[token_id]["special"] and not piece.replace("▁", " ").strip():
            table[token_id] = piece.replace("▁", " ").encode()
    return table


def _decoder_kinds(decoder: dict[str, Any] | None) -> set[str]:
    if decoder is None:
        return set()
    if decoder["type"] == "Sequence":
        return set().union(*(_decoder_kinds(inner) for inner in decoder["decoders"]))
    return {decoder["type"]}


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's reversible mapping: printable bytes stand for themselves, the others for code points from 256 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{chr(byte): byte for byte in printable}, **{chr(256 + i): byte for i, byte in enumerate(others)}}


_BYTE_OF = _byte_level_alphabet()


def _byte_level_piece(piece: str) -> bytes | None:
    try:
        return bytes(_BYTE_OF[char] for char in piece)
    except KeyError:  # not written in the byte alphabet, so the decoder would not turn it into text either
        return None


def _sentencepiece_piece(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode()
