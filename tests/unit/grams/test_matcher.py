"""The fast matcher against the written semantics: spelt-out cases, random ones, and real responses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import regex
from conftest import OWN_TOKENIZERS, real_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_matcher import reference

from hicra_verl.grams import Gram, GramSet, load_grams
from hicra_verl.grams.matcher import GramMatcher, Matches
from hicra_verl.grams.text import fold, normalise
from hicra_verl.grams.token_bytes import UnsupportedTokenizerError, token_bytes

TEXTS = [
    "so",
    "let's",
    "## step",
    "we can use",
    "use the fact that",
    "hmm,",
    "but wait",
    "wait",
    "naïve é",
    "首先",
    "let's try",
]
REAL_TOKENIZERS = ("qwen3", "llama3", "smollm2", "gemma3")
GRAMS = GramSet("test", tuple(Gram(text, "other", "") for text in TEXTS))


def run(
    tokens: list[bytes | None], mask: list[bool] | None = None, grams: GramSet = GRAMS
) -> tuple[list[bool], list[tuple[int, int, int]]]:
    """Planning mask and counted matches of one response whose tokens are given as bytes."""
    ids, own = np.arange(len(tokens)).reshape(1, -1), None if mask is None else np.array([mask])
    matches = GramMatcher(grams, tokens).match(ids, own, following_words=2)
    with pytest.MonkeyPatch.context() as patch:  # as with a real tokenizer: tokens that can be in no match are not read
        patch.setattr("hicra_verl.grams.matcher._MANY_TOKENS", -1)
        sifted = GramMatcher(grams, tokens).match(ids, own, following_words=2)
    for field in dataclasses.fields(Matches):
        assert np.array_equal(getattr(matches, field.name), getattr(sifted, field.name)), field.name
    picked = matches.counted
    spans = zip(matches.gram[picked], matches.first_token[picked], matches.end_token[picked], strict=True)
    return matches.planning_mask[0].tolist(), sorted((int(g), int(f), int(e)) for g, f, e in spans)


def words(text: str) -> list[bytes | None]:
    """Tokens as byte-level BPE would cut: each word with the space before it."""
    return [piece.encode() for piece in regex.findall(r"\s*\S+|\s+$", text)]


CASES = {
    # name: (tokens, mask or None, planning mask)
    "a word inside another does not match": (words("solve also"), None, [False, False]),
    "punctuation is a boundary": (words("(so) so."), None, [True, True]),
    "curly apostrophe and capitals": (words("Let’s LET'S"), None, [True, True]),
    "after a newline, before a number": ([b"\n", b"##", b" Step", b" 1"], None, [False, True, True, False]),
    "across token borders": ([b"l", b"et", b"'", b"s", b" go"], None, [True] * 4 + [False]),
    "runs of white space, over tokens": ([b"but ", b" \n", b"\n", b"\t wait"], None, [True, False, False, True]),
    "overlapping grams mark the whole": (words("we can use the fact that x"), None, [True] * 6 + [False]),
    "trailing comma is part of the gram": (words("hmm, hmm"), None, [True, False]),
    "a gram that ends in punctuation needs no boundary": ([b"hmm", b",x"], None, [True, True]),
    "an underscore is a word character": (words("so_far _so"), None, [False, False]),
    "a digit is a word character": (words("so2"), None, [False]),
    "a letter of another script is a word character": (words("soя яso"), None, [False, False]),
    "an accented neighbour": (words("éso so"), None, [False, True]),
    "a character split over tokens": ([b"na", b"\xc3", b"\xaf", b"ve \xc3", b"\xa9!"], None, [True] * 5),
    "a split character next to the match": ([b"\xc3", b"\xa9", b"so", b" so"], None, [False, False, False, True]),
    "the end of a split character is marked": ([b"\xe9\xa6\x96", b"\xe5", b"\x85", b"\x88"], None, [True] * 4),
    "a split quote": ([b"let", b"\xe2\x80", b"\x99", b"s"], None, [True] * 4),
    "a special token breaks a match": ([b"but", None, b" wait"], None, [False, False, True]),
    "a special token is a boundary": ([None, b"so", None], None, [False, True, False]),
    "a masked tool token inside a gram": (words("but <tool> wait"), [True, False, True], [False, False, True]),
    "a masked token never plans": (words("so so"), [False, True], [False, True]),
    "undecodable bytes are no word characters": ([b"\xff", b"so", b"\x80"], None, [False, True, False]),
    "an empty token is no gap": ([b"but", b"", b" wait"], None, [True, False, True]),
    "an empty token between spaces": ([b"but ", b"", b" wait"], None, [True, False, True]),
    "empty response": ([], None, []),
}


@pytest.mark.parametrize("name", CASES)
def test_spelt_out_case(name: str) -> None:
    tokens, mask, expected = CASES[name]
    assert run(tokens, mask)[0] == expected
    assert reference(tokens, mask or [True] * len(tokens), TEXTS)[0] == expected


def test_counting_is_leftmost_longest() -> None:
    _, spans = run(words("We can use the fact that. But wait, let's try"))
    named = [(TEXTS[gram], first, end) for gram, first, end in sorted(spans, key=lambda span: span[1])]
    assert named == [("we can use", 0, 3), ("but wait", 6, 8), ("let's try", 8, 10)]


def test_rows_do_not_touch_each_other() -> None:
    matcher = GramMatcher(GRAMS, [b" but", b" wait", b" x"])
    matches = matcher.match(np.array([[2, 0], [1, 2]]))
    assert matches.planning_mask.tolist() == [[False, False], [True, False]]
    assert matches.row[matches.counted].tolist() == [1]


def test_ids_outside_the_vocabulary_break_a_match() -> None:
    matches = GramMatcher(GRAMS, [b"but", b" wait"]).match(np.array([[0, 7, 1, -100]]))
    assert matches.planning_mask.tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("cores", [1, 3])
def test_a_batch_larger_than_a_chunk(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(0).integers(0, 3, (40, 30))
    matcher = GramMatcher(GRAMS, [b" but", b" wait", b" so"])
    whole = matcher.match(ids, following_words=2)
    monkeypatch.setattr("hicra_verl.grams.matcher._CHUNK_TOKENS", 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(cores)))
    parts = matcher.match(ids, following_words=2)
    for field in dataclasses.fields(Matches):
        assert np.array_equal(getattr(whole, field.name), getattr(parts, field.name)), field.name


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*"so wait", " ", " ", "x", "é", None]), max_size=120), st.integers(1, 4))
def test_following_words(row: list[str | None], count: int) -> None:
    """Against splitting the text behind each match; a token is a character, so that many tokens make a word."""
    vocabulary: list[str | None] = [*"so waitxé", None]
    matcher = GramMatcher(GRAMS, [char.encode() if char else None for char in vocabulary])
    ids = np.array([[vocabulary.index(char) for char in row]], dtype=np.int64).reshape(1, -1)
    matches = matcher.match(ids, following_words=count)
    expected: list[bytes | None] = []
    for end in matches.end_token[matches.counted].tolist():
        until = row.index(None, end) if None in row[end:] else len(row)
        words = "".join(char for char in row[end:until] if char).split()
        expected.append(" ".join(words[:count]).encode() if len(words) >= count else None)
    assert matches.following == expected


def test_white_space_without_end_and_characters_in_parts() -> None:
    """What a policy that fell apart writes: a long run of newlines inside a gram, and bytes of characters."""
    tokens = [b" but", b"\n", b" wait", b"\xe2\x80", b"\x99", b"\xf0", b"\x9f", b" let", b"s", b"x"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hicra_verl.grams.matcher._MANY_TOKENS", -1)
        matcher = GramMatcher(GRAMS, tokens)
    newlines, parts = [0] + [1] * 3000 + [2], [5, 6] * 500 + [6, 5, 4] * 300 + [7, 3, 4, 8, 5, 9] * 100
    ids = np.full((2, 3002), 9)
    ids[0, :3002], ids[1, : len(parts)] = newlines, parts
    planning, _ = reference([tokens[token] for token in ids[1]], [True] * 3002, TEXTS)
    found = matcher.match(ids).planning_mask
    assert found[0].nonzero()[0].tolist() == [0, 3001]
    assert found[1].tolist() == planning


def test_a_million_tokens() -> None:
    matcher = GramMatcher(GRAMS, [b" but", b" wait", b" x"])
    ids = np.full((1, 1_000_000), 2)
    ids[0, -2:] = [0, 1]
    assert matcher.match(ids).planning_mask.sum() == 2


def test_wrong_shapes_are_refused() -> None:
    matcher = GramMatcher(GRAMS, [b"so"])
    with pytest.raises(ValueError, match=r"shape \(B, T\)"):
        matcher.match(np.array([0]))
    with pytest.raises(ValueError, match="one shape"):
        matcher.match(np.array([[0, 0]]), np.array([[True]]))


def test_fold_is_simple_case_folding() -> None:
    """Against the `regex` package, for every character of the Basic Multilingual Plane that has a case."""
    for code in range(0x10000):
        char = chr(code)
        if 0xD800 <= code < 0xE000 or char in "‘’‚‛“”„‟" or fold(char) == char:
            continue
        assert len(fold(char)) == 1
        assert regex.fullmatch(regex.escape(fold(char)), char, regex.IGNORECASE | regex.VERSION0), hex(code)


def test_normalise() -> None:
    assert normalise("Let’s \n\t TRY “it”") == 'let\'s try "it"'


SNIPPETS = st.sampled_from(
    [
        *TEXTS,
        " ",
        "  ",
        "\n",
        "\u3000",
        "\u00a0",
        "’",
        "é",
        "É",
        "ſo",
        "K",
        "İ",
        "ß",
        "ẞ",
        "🙂",
        "_",
        "1",
        ",",
        "x",
        "So",
        "LET’S",
        "Naïve  É",
    ]
)


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[list[bytes | None], list[bool]]:
    """A text cut into tokens at random bytes, with special tokens, stray bytes and masked tokens among them."""
    raw = "".join(draw(st.lists(SNIPPETS, max_size=14))).encode()
    stray = draw(
        st.lists(st.tuples(st.integers(0, len(raw)), st.sampled_from([b"\xff", b"\x80", b"\xe2"])), max_size=2)
    )
    for position, byte in stray:
        raw = raw[:position] + byte + raw[position:]
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    tokens: list[bytes | None] = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    for position in draw(st.lists(st.integers(0, len(tokens)), max_size=2)):
        tokens.insert(position, None)
    mask = draw(st.lists(st.sampled_from([True, True, True, True, False]), min_size=len(tokens), max_size=len(tokens)))
    return tokens, mask


@settings(max_examples=2000, deadline=None)
@given(cut_texts())
def test_random_texts_and_cuts(case: tuple[list[bytes | None], list[bool]]) -> None:
    tokens, mask = case
    fast_mask, fast_spans = run(tokens, mask)
    slow_mask, slow_spans = reference(tokens, mask, TEXTS)
    assert fast_mask == slow_mask
    assert fast_spans == sorted(slow_spans)


def matches_as_the_reference(tokenizer: Any, responses: list[str]) -> int:
    """Zero differences on every response, with every gram of the paper; how many matches there are."""
    table = token_bytes(tokenizer)
    grams = load_grams("paper")
    matcher = GramMatcher(grams, table)
    texts = [gram.text for gram in grams]
    found = 0
    for response in responses:
        ids = tokenizer(response, add_special_tokens=False)["input_ids"]
        matches = matcher.match(np.array([ids]))
        slow_mask, slow_spans = reference([table[i] for i in ids], [True] * len(ids), texts)
        assert matches.planning_mask[0].tolist() == slow_mask
        picked = matches.counted
        spans = zip(matches.gram[picked], matches.first_token[picked], matches.end_token[picked], strict=True)
        assert sorted((int(g), int(f), int(e)) for g, f, e in spans) == sorted(slow_spans)
        found += len(slow_spans)
    return found


@pytest.mark.parametrize("name", [*REAL_TOKENIZERS, "llama2"])  # which writes a space before every text
def test_real_tokenizer_and_responses(name: str, math_responses: list[str]) -> None:
    assert matches_as_the_reference(real_tokenizer(name), math_responses) > 5000


@pytest.mark.parametrize("name", OWN_TOKENIZERS)
def test_own_tokenizer_and_responses(name: str, own_rollouts: list[dict[str, Any]]) -> None:
    assert matches_as_the_reference(real_tokenizer(name), [row["response"] for row in own_rollouts]) > 30


@pytest.mark.parametrize("name", [*OWN_TOKENIZERS, *REAL_TOKENIZERS])
def test_token_bytes_spell_the_text(name: str) -> None:
    tokenizer = real_tokenizer(name)
    table = token_bytes(tokenizer)
    text = "Let’s try:\n\n  naïve 首先 🙂 \\frac{1}{2}\t≡ Ünïcödé"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert b"".join(table[i] or b"?" for i in ids) == text.encode()
    assert table[tokenizer.eos_token_id] is None


def test_tokenizers_without_byte_mapping_are_refused() -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    wordpiece = Tokenizer(models.WordPiece({"[UNK]": 0, "so": 1}, unk_token="[UNK]"))
    wordpiece.decoder = decoders.WordPiece()
    with pytest.raises(UnsupportedTokenizerError, match="no byte mapping.*WordPiece"):
        token_bytes(PreTrainedTokenizerFast(tokenizer_object=wordpiece, unk_token="[UNK]"))
    with pytest.raises(UnsupportedTokenizerError, match="slow one.*use_fast=True"):
        token_bytes(type("SlowTokenizer", (), {"name_or_path": "old"})())
