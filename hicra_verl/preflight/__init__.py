"""``hicra recipes check``: what a person wants to know before a row spends its GPU-hours.

The row's own script says what it would run. Here that command is composed and validated as verl does it, stage by stage
(``wanted``), every node is asked what it sees (``node``, ``cluster``), and the two are compared (``judge``). Nothing is
trained, no GPU is needed, and what is written is removed again.
"""

from __future__ import annotations

from hicra_verl.doctor import Check
from hicra_verl.recipes import Recipe


def check(entry: Recipe, overrides: list[str]) -> list[Check]:
    """All checks of a row, in the order of the report.

    Args:
        entry: the row.
        overrides: the words that would follow the script's name.

    Raises:
        RecipeError: if the script itself fails.
    """
    from hicra_verl.preflight import cluster, judge, wanted
    from hicra_verl.recipes import words

    command = words(entry, overrides)
    wants, checks = wanted.of_training(command) if entry.trains else wanted.of_evaluation(command)
    if wants is None:
        return checks
    with cluster.marker(wants.folders[0][1]) as marker:
        nodes, problem = cluster.ask_every_node(judge.request(wants, marker))
    return [*checks, *([problem] if problem is not None else judge.compare(wants, nodes))]
