"""Real solutions to mine, as JSONL with the fields `response` and `correct`.

    python examples/mining/corpora.py -o runs/mining

CHAMP (Mao et al., 2024; MIT) is a package: 270 competition problems with 72 solutions each, by four models. It does not
say which are correct. Each solution was summarised by its model in one sentence, so we take a solution for correct if
its problem's answer is a plain number and that number is the last one of the summary; other problems are left out.

--rollouts copies further files as they are: JSONL with `response` and `correct`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
from pathlib import Path

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def champ() -> list[dict[str, object]]:
    """CHAMP's solutions of problems with a numeric answer."""
    found = importlib.util.find_spec("champ_dataset")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("champ-dataset is not installed: pip install --no-deps -r requirements-mining.txt")
    path = Path(found.submodule_search_locations[0]) / "dataset_files" / "v0.json"
    rows: list[dict[str, object]] = []
    for problem in json.loads(path.read_text(encoding="utf-8"))["problems"].values():
        answer = problem["_answer"].strip()
        if not NUMBER.fullmatch(answer):
            continue
        for how, conversation in problem["conversations"].items():
            solution, _, summary = conversation["messages"][-3:]
            if solution["role"].startswith("Model") and solution["text"] and summary["text"]:
                numbers = NUMBER.findall(summary["text"].replace(",", ""))
                correct = bool(numbers) and float(numbers[-1]) == float(answer)
                uid = f"{problem['identifier']}|{how}"
                rows.append({"uid": uid, "response": solution["text"], "correct": correct})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--rollouts", type=Path, nargs="*", default=[], help="further JSONL files")
    words = parser.parse_args()
    words.output.mkdir(parents=True, exist_ok=True)
    rows = champ()
    with (words.output / "champ.jsonl").open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    correct = sum(bool(row["correct"]) for row in rows)
    print(f"{words.output / 'champ.jsonl'}: {len(rows):,} solutions, {correct:,} correct")
    for path in words.rollouts:
        shutil.copy(path, words.output / path.name)
        print(f"{words.output / path.name}: copied")


if __name__ == "__main__":
    main()
