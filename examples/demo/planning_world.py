"""The planning world: word problems whose only difficulty is the choice of a plan.

A problem tells a tiny story that asks for an addition, a subtraction or a multiplication of two digits. A trace plans
("the plan is to multiply"), executes ("3 * 4 = 12"), sometimes checks the plan against the story and goes back, and
ends in a box. The traces for the warm start execute without a slip but mostly choose their plan *blindly*, and only
some of them check it. A model trained on them starts with reliable execution and poor planning: the situation the paper
says HICRA is for. What reinforcement learning can find is to plan by the story, or to check and go back.

The words hold strategic grams of the paper's list; the stories hold none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product

OPERATIONS = {"add": "+", "subtract": "-", "multiply": "*"}
NAMES = ("Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ida", "Jon", "Kim", "Leo")
ITEMS = ("pens", "cups", "eggs", "keys", "nuts", "pins", "figs", "maps", "hats", "bells", "caps", "logs")
NUMBERS = range(2, 8)
STORIES = {
    "add": ("{name} has {a} {item} and buys {b} more.", "{name} finds {a} {item} and later finds {b}."),
    "subtract": ("{name} has {a} {item} and loses {b}.", "{name} takes {a} {item} and gives away {b}."),
    "multiply": ("{name} has {a} boxes with {b} {item} each.", "{name} fills {a} bags, {b} {item} in each."),
}
CUES = {"add": "more come in", "subtract": "some are gone", "multiply": "there are equal groups"}

OPENINGS = ("Let's break this down. ", "Okay, the goal is to count. ", "First need to choose a way. ", "")
PLANS = ("The plan is to {op}. ", "We can use the sign {sign} here. ", "One way to do this is to {op}. ")
READ_SHARE = 0.35  # of the warm-start traces plan by the story; the others choose among the three blindly
CHECK_SHARE = 0.15  # of the warm-start traces look back at their plan


@dataclass(frozen=True)
class Problem:
    """One word problem.

    Attributes:
        text: what the model reads.
        answer: what its box should hold.
    """

    name: str
    item: str
    operation: str
    story: int
    a: int
    b: int

    @property
    def text(self) -> str:
        story = STORIES[self.operation][self.story].format(name=self.name, item=self.item, a=self.a, b=self.b)
        return f"{story} How many {self.item}?"

    @property
    def answer(self) -> str:
        return str(calculate(self.operation, self.a, self.b))


def calculate(operation: str, a: int, b: int) -> int:
    return {"add": a + b, "subtract": a - b, "multiply": a * b}[operation]


def splits(seed: int, n_train: int, n_test: int) -> tuple[list[Problem], list[Problem], list[Problem]]:
    """Disjoint problems: for the warm start, for training, and held out."""
    problems = [
        Problem(name, item, operation, story, a, b)
        for name, item, operation, story, a, b in product(NAMES, ITEMS, OPERATIONS, (0, 1), NUMBERS, NUMBERS)
        if operation != "subtract" or a > b
    ]
    random.Random(seed).shuffle(problems)
    return problems[n_train + n_test :], problems[:n_train], problems[n_train : n_train + n_test]


def trace(problem: Problem, rng: random.Random) -> str:
    """A solution that mostly chooses its plan blindly, executes it right, and looks back at it now and then."""

    def work(operation: str) -> str:
        sign, result = OPERATIONS[operation], calculate(operation, problem.a, problem.b)
        plan = rng.choice(PLANS).format(op=operation, sign=sign)
        return f"{plan}{problem.a} {sign} {problem.b} = {result}. "

    chosen = problem.operation if rng.random() < READ_SHARE else rng.choice(tuple(OPERATIONS))
    text = rng.choice(OPENINGS) + work(chosen)
    if rng.random() < CHECK_SHARE:
        cue = CUES[problem.operation]
        if chosen == problem.operation:
            text += f"To verify, the problem says {cue}. This means the plan holds. "
        else:
            text += f"Wait, that's not right: the problem says {cue}. Let's try a different angle. "
            text += work(problem.operation)
            chosen = problem.operation
    closing = rng.choice(("Therefore", "So", "This means"))
    return f"{text}{closing} the answer is \\boxed{{{calculate(chosen, problem.a, problem.b)}}}."
