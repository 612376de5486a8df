"""The colours of runs differ for the colour-blind, too."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from hicra_verl.palette import SERIES

# Machado, Oliveira and Fernandes (2009), severity 1.0: what the three kinds of colour-blindness see of linear RGB.
SEEN = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(code: str, seen: list[list[float]]) -> np.ndarray:
    """CIE Lab of a colour as it is seen: equal distances look about equally far apart."""
    values = np.array([int(code[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(seen) @ linear, 0, 1) / WHITE
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", SEEN)
def test_no_two_runs_look_alike(kind: str) -> None:
    for one, other in combinations(SERIES, 2):
        distance = np.linalg.norm(lab(one, SEEN[kind]) - lab(other, SEEN[kind]))
        assert distance >= 15, (one, other)  # a difference of 2 is just seen
