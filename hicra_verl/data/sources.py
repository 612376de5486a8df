"""Every data set, training or benchmark: where it lives, what its columns are, how it is shown and sampled.

A data set may come in several layouts (the hub's own, a well-known mirror's, an evaluation suite's); which one a file
has is told by its columns. A file with none of them is refused, so that a column renamed upstream is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from hicra_verl.data import readers, vision
from hicra_verl.data.problems import DataError
from hicra_verl.data.readers import Reader


@dataclass(frozen=True)
class Layout:
    """A known set of columns and how to read a problem from them."""

    columns: tuple[str, ...]
    read: Reader


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        hub: its name on the Hugging Face hub; "" if it is not there.
        files: which of its files hold the rows (globs; ``*`` stays within a folder).
        layouts: the layouts it is known in.
        rows: how many rows were published, before anything is left out; None if we know of no number.
        revision: the commit to fetch; None for the newest.
        training: True for training data, False for a benchmark.
        title: of a benchmark, how tables name it.
        samples: of a benchmark, how many each problem gets.
        kind: whether its problems have pictures.
        extra_files: further files to fetch with it (images).
        rows_elsewhere: the numbers of rows of other published copies.
    """

    hub: str
    files: tuple[str, ...]
    layouts: tuple[Layout, ...]
    rows: int | None
    revision: str | None = None
    training: bool = False
    title: str = ""
    samples: int = 1
    kind: Literal["text", "vision"] = "text"
    extra_files: tuple[str, ...] = ()
    rows_elsewhere: tuple[int, ...] = ()

    def select(self, paths: Iterable[str], extra: bool = False) -> list[str]:
        """Those of a listing's files that hold the rows, or the ``extra`` ones that go with them; sorted."""
        patterns = self.extra_files if extra else self.files
        return sorted(path for path in paths if any(_matches(path, pattern) for pattern in patterns))

    def layout_of(self, columns: list[str], origin: str) -> Layout:
        """The layout that these columns have.

        Raises:
            DataError: if they have none of the known ones.
        """
        for layout in self.layouts:
            if set(layout.columns) <= set(columns):
                return layout
        known = " or ".join(", ".join(layout.columns) for layout in self.layouts)
        raise DataError(
            f"{origin}: has the columns {', '.join(columns)}; expected {known}. The data set's schema has changed, or "
            "this is another file; `hicra data` without a name lists what is known."
        )


def _matches(path: str, pattern: str) -> bool:
    """fnmatch folder by folder, unlike huggingface_hub's filter, whose ``*`` takes in subfolders."""
    parts, patterns = path.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _plain(*columns: str, whole: bool = False) -> Layout:
    return Layout(columns, readers.plain(*columns, whole=whole))


_EVALUATION_SUITE = (_plain("problem", "answer"), Layout(("problem", "solution"), readers.boxed_in_solution))
_QUESTION_ANSWER = _plain("question", "answer")
_MATHVERSE = ("sample_index", "problem_version", "question", "question_type", "image", "answer")
_VERL = Layout(("prompt", "reward_model"), readers.verl)

# Numbers of samples are the paper's: benchmarks under 100 problems are averaged over several. Commits, file names and
# numbers of rows are those that public evaluation code pins or states (what was seen is said in
# tests/support/hub_repositories.py); the hub was not asked. `hicra data check` asks it, and says what has changed.
SOURCES: dict[str, Source] = {
    # Every problem about a hundred times. To the letter others count 17,398 of them, with white space aside 17,188, and
    # 17,176 without the twelve that have more than one answer.
    "dapo_math_17k": Source(
        "BytedTsinghua-SIA/DAPO-Math-17k",
        ("data/*.parquet",),
        (_VERL,),
        1_791_700,
        "65877096c24ffa7abc4e4fa5edb95cf3413a5674",
        training=True,
    ),
    # Six rows have no answer.
    "deepscaler": Source(
        "agentica-org/DeepScaleR-Preview-Dataset",
        ("deepscaler.json",),
        (Layout(("problem", "answer", "solution"), readers.plain("problem", "answer")),),
        40_315,
        "b6ae8c60f5c1f2b594e2140b91c49c9ad0949e29",
        training=True,
    ),
    # The authors' own sets: neither their files' names nor their commits were seen.
    "hicra_math": Source("JasperHaozhe/HICRA_RLDATA_Math", ("*.parquet", "*/*.parquet"), (_VERL,), None, training=True),
    "hicra_vl": Source(
        "JasperHaozhe/HICRA_RLDATA_VL_ViRL7B",
        ("*.parquet", "*/*.parquet"),
        (_VERL,),
        None,
        training=True,
        kind="vision",
    ),
    "virl39k": Source(
        "TIGER-Lab/ViRL39K",
        ("39Krelease.parquet",),
        (Layout(("question", "answer", "qid", "image"), vision.virl),),
        38_870,
        "812ec617dea4bc8a4e751663b88e4ebb7de4d00e",
        training=True,
        extra_files=("images.zip",),
        kind="vision",
    ),
    "aime24": Source(
        "HuggingFaceH4/aime_2024",
        ("data/train-*.parquet",),
        _EVALUATION_SUITE,
        30,
        "2fe88a2f1091d5048c0f36abc874fb997b3dd99a",
        title="AIME24",
        samples=32,
    ),
    "aime25": Source(
        "MathArena/aime_2025",
        ("data/train-*.parquet",),
        _EVALUATION_SUITE,
        30,
        "c94da77eb22bbd6439e62a323bec18493a421302",
        title="AIME25",
        samples=32,
    ),
    "math500": Source(
        "HuggingFaceH4/MATH-500",
        ("test.jsonl",),
        (_plain("problem", "answer", "unique_id"), *_EVALUATION_SUITE),
        500,
        "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
        title="MATH500",
    ),
    "amc23": Source(
        "math-ai/amc23",
        ("test-*.parquet",),
        (_plain("question", "answer", whole=True), _plain("problem", "answer", whole=True)),
        40,
        "80815d37005feb82cd7f8fbc6901d5d3eff43057",
        title="AMC23",
        samples=4,
    ),
    "minerva": Source(
        "math-ai/minervamath",
        ("test.jsonl",),
        (_QUESTION_ANSWER, *_EVALUATION_SUITE),
        272,
        "ee46ddc498933b1977577953250ca5c66be64f96",
        title="Minerva",
    ),
    # The hub's copy has 674 rows; that of the Qwen2.5-Math evaluation suite, which many results rest on, 675.
    "olympiad": Source(
        "math-ai/olympiadbench",
        ("test.parquet",),
        (Layout(("question", "final_answer"), readers.olympiad), _QUESTION_ANSWER, *_EVALUATION_SUITE),
        674,
        "4faaf1e6ec17d11a4218a9bf4c049ecaf954dd84",
        rows_elsewhere=(675,),
        title="Olympiad",
    ),
    "mathvista": Source(
        "AI4Math/MathVista",
        ("data/testmini-*.parquet",),
        (Layout(("pid", "question", "decoded_image", "choices", "answer_type", "answer"), vision.mathvista),),
        1_000,
        "2b6ad69445fbb5695c9b165475e8decdbeb97747",
        title="MathVista",
        kind="vision",
    ),
    "mathvision": Source(  # its commit was not seen
        "MathLLMs/MathVision",
        ("data/test-*.parquet",),
        (Layout(("id", "question", "options", "decoded_image", "answer"), vision.mathvision),),
        3_040,
        title="MathVision",
        kind="vision",
    ),
    "mathverse": Source(
        "AI4Math/MathVerse",
        ("testmini.parquet",),
        (Layout(_MATHVERSE, vision.mathverse),),
        3_940,
        "3bc86196678bad115a923d2851c6821dbe235939",
        title="MathVerse",
        kind="vision",
    ),
    # 1,176 problems of chemistry, 564 of coding, 892 of mathematics, 156 of physics, in a folder each.
    "emma": Source(
        "luckychao/EMMA",
        tuple(f"{subject}/test-*.parquet" for subject in ("Chemistry", "Coding", "Math", "Physics")),
        (Layout(("pid", "question", "options", "context", "image_1", "answer"), vision.emma),),
        2_788,
        "6c87aec9048c489108170088e50b768646b5bcf9",
        title="EMMA",
        kind="vision",
    ),
}
