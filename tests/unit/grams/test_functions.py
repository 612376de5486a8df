"""A token's function: that of the longest match over it, whether that match is counted or not."""

from __future__ import annotations

import numpy as np

from hicra_verl.grams import Gram, GramSet, load_grams
from hicra_verl.grams.functions import coloured_pieces, function_indices, token_functions
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.grams.text_matcher import TextMatcher

OVERLAPPING = GramSet(
    "overlapping",
    (Gram("we can use", "branching", ""), Gram("use the fact that", "deduction", ""), Gram("that", "other", "")),
)


def test_overlapping_grams_leave_no_planning_token_without_a_function() -> None:
    words = [b"so", b" we", b" can", b" use", b" the", b" fact", b" ", b" that", b" 7"]
    matches = GramMatcher(OVERLAPPING, [*words]).match(np.array([[8, 8, *range(8)], [*range(1, 9), 8, 8]]))
    first, second = token_functions(matches, OVERLAPPING), token_functions(matches, OVERLAPPING, row=1)
    phrase = ["branching"] * 2 + ["deduction"] * 3 + [None, "deduction"]  # the white space is no planning token
    assert first == [None, None, None, *phrase]
    assert second == [*phrase, None, None, None]
    assert int(matches.counted.sum()) == 4  # "use the fact that" is matched in both, and counted in neither
    assert np.array_equal(function_indices(matches, OVERLAPPING) >= 0, matches.planning_mask[0])


def test_a_text_is_cut_into_whole_phrases() -> None:
    pieces = coloured_pieces("so we can use the fact that 7", TextMatcher(OVERLAPPING))
    assert pieces == [("so ", None), ("we can ", "branching"), ("use the fact that", "deduction"), (" 7", None)]


def test_every_planning_byte_of_real_responses_has_a_function(math_responses: list[str]) -> None:
    grams = load_grams("paper")
    planning = without = 0
    for found in TextMatcher(grams).match(math_responses):
        mask = found.matches.planning_mask[0]
        planning += int(mask.sum())
        without += int((function_indices(found.matches, grams)[mask] < 0).sum())
    assert planning > 10_000
    assert without == 0
