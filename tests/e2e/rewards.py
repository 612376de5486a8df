"""A reward that a random model earns about half the time, and always the same for the same response."""

from zlib import crc32


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):
    return float(crc32(solution_str.encode()) % 2)
