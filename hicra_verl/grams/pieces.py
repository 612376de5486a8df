"""What one token adds to the normalised text: found once a token, or for a run of tokens that share characters."""

from __future__ import annotations

from typing import NamedTuple

from hicra_verl.grams.text import fold, normalise

BREAK = 0xFF  # a byte that no UTF-8 text holds: it is in no gram and is not a word character

# What a token's normalised bytes do at their edges, as bits.
STARTS_SPACE = 1  # the first byte is the one space of a white space run
ENDS_SPACE = 2  # the last character is white space
ONLY_SPACE = 4  # every character is white space
CONTINUES = 8  # the first bytes belong to a character that an earlier token began
PARTIAL = 16  # not whole characters by itself: needs its neighbours


class Piece(NamedTuple):
    """A token's contribution to the normalised text."""

    data: bytes
    flags: int


def static_piece(raw: bytes | None) -> Piece:
    """What a token adds, as far as it can be said without its neighbours."""
    if raw is None:
        return Piece(bytes([BREAK]), 0)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return Piece(b"", PARTIAL)
    flags = 0
    if text:
        flags |= STARTS_SPACE * text[0].isspace() | ENDS_SPACE * text[-1].isspace() | ONLY_SPACE * text.isspace()
    return Piece(normalise(text).encode(), flags)


def resolve_run(raws: tuple[bytes, ...]) -> list[Piece]:
    """Normalise consecutive tokens that are not whole characters by themselves.

    A character's normalised bytes go to the token that holds its first byte; the other tokens that hold a part of it
    get the ``CONTINUES`` flag instead. Bytes that form no character become breaks, one each.
    """
    owner = [token for token, raw in enumerate(raws) for _ in raw]
    data = [bytearray() for _ in raws]
    continues = [False] * len(raws)
    ends_space = [False] * len(raws)
    only_space = [True] * len(raws)
    position = 0
    previous_is_space = False
    first_is_space = False
    for char in b"".join(raws).decode("utf-8", errors="surrogateescape"):
        undecodable = "\udc80" <= char <= "\udcff"
        width = 1 if undecodable else len(char.encode())
        holders = range(owner[position], owner[position + width - 1] + 1)
        space = char.isspace()
        if position == 0:
            first_is_space = space
        if undecodable:
            data[holders[0]].append(BREAK)
        elif not (space and previous_is_space):
            data[holders[0]] += b" " if space else fold(char).encode()
        for token in holders:
            only_space[token] &= space
            ends_space[token] = space
        for token in holders[1:]:
            continues[token] = True
        previous_is_space = space
        position += width
    return [
        Piece(
            bytes(data[token]),
            # Inside the run, white space is already joined; only its first character can join what comes before.
            STARTS_SPACE * (token == 0 and first_is_space)
            | ENDS_SPACE * ends_space[token]
            | ONLY_SPACE * only_space[token]
            | CONTINUES * continues[token],
        )
        for token in range(len(raws))
    ]
