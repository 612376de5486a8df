"""`hicra data`."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bad_input import Case
from made_up_evaluations import columns, png, without

DEEP = "[" * 100_000 + "]" * 100_000
SECRET = "the machine's own secret"


def vista(**change: Any) -> dict[str, Any]:
    """A row of MathVista."""
    return {
        "pid": "1",
        "question": "How long?",
        "decoded_image": {"bytes": png(), "path": "1.png"},
        "choices": None,
        "answer_type": "text",
        "answer": "2",
        **change,
    }


def virl(*images: str) -> dict[str, Any]:
    """A row of ViRL39K."""
    return {"question": "How long?", "answer": "2", "qid": "1", "image": list(images)}


def table(*rows: dict[str, Any]) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.Table.from_pylist(list(rows)), path)


def words(name: str, *more: str, origin: str = "set") -> list[str]:
    template = "vision" if name in ("mathvista", "virl39k") else "qwen"
    count = [] if "--strict" in more else ["--any-count"]
    given = [word for word in more if word != "--strict"]
    return ["data", name, "--from", origin, "-o", "out", "--template", template, *count, *given]


def nothing_read(folder: Path, printed: str) -> None:
    """No byte of the file that the row names is anywhere it could be sent from."""
    assert SECRET not in printed
    for path in (folder / "out").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert SECRET.encode() not in content
            assert Path("/etc/passwd").read_bytes()[:20] not in content


def pictures() -> list[Case]:
    """A row is a stranger's: what it names is read only if it is a picture of the data set's own."""
    outside = "image outside the data set's folder"

    def vista_case(name: str, image: Any, reason: str, **more: Any) -> Case:
        files = {"set/data/testmini-0.parquet": table(vista(decoded_image=image)), "secret.txt": SECRET}
        case = {"after": nothing_read, "absent": ("out/vision/mathvista.parquet",), **more}
        return Case(f"an image {name}", words("mathvista"), (reason,), {**files, **case.pop("files", {})}, **case)

    def virl_case(name: str, image: str, reason: str, **more: Any) -> Case:
        files = {"set/39Krelease.parquet": table(virl(image)), "secret.png": png(), "secret.txt": SECRET}
        case = {"after": nothing_read, "absent": ("out/vision/virl39k.parquet",), **more}
        return Case(f"images {name}", words("virl39k"), (reason,), {**files, **case.pop("files", {})}, **case)

    def link(target: str) -> Callable[[Path], None]:
        return lambda folder: (folder / "set" / "images").symlink_to(target.replace("{tmp}", str(folder)))

    def archive(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("images/text.png", SECRET)
            opened.writestr("images/bomb.png", b"\0" * (80 << 20))

    def spoilt_archive(path: Path) -> None:
        archive(path)
        path.write_bytes(path.read_bytes()[:200])

    def good_archive(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as opened:
            opened.writestr("1.png", png())

    zipped, spoilt = {"set/images.zip": archive}, {"set/images.zip": spoilt_archive}
    return [
        vista_case("at /etc/hostname", "/etc/hostname", outside),
        vista_case("at /etc/passwd, as a path", {"bytes": None, "path": "/etc/passwd"}, outside),
        vista_case("two folders up", "../../secret.txt", outside),
        vista_case("in the set that is a text", "notes.png", "not an image", files={"set/data/notes.png": SECRET}),
        vista_case("that is a device", "/dev/zero", outside),
        vista_case("under /proc", "/proc/self/environ", outside),
        vista_case("with an address", "http://127.0.0.1:9/x.png", "image missing"),
        vista_case("with a file address", "file:///etc/hostname", "image missing"),
        vista_case("with NUL in its name", "a\0b", "image missing"),
        vista_case("with a name of 5,000 letters", "x" * 5000, "image missing"),
        vista_case("whose bytes are a text", {"bytes": SECRET.encode(), "path": None}, "not an image"),
        vista_case("whose bytes are cut off", {"bytes": png()[:45], "path": None}, "not an image"),
        vista_case("whose content is spoilt", {"bytes": png(content=b"junk"), "path": None}, "not an image"),
        vista_case("of 10 billion points", {"bytes": png(100_000, 100_000), "path": None}, "at most 64,000,000"),
        vista_case("of 100 million points", {"bytes": png(10_000, 10_000), "path": None}, "at most 64,000,000"),
        vista_case("that is PostScript", {"bytes": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "path": None},
                   "not an image"),
        vista_case("that is a number", 3, "row 1, field 'decoded_image': unexpected content: expected a picture,"),
        vista_case("that is a list of numbers", [3, 4], "unexpected content"),
        vista_case("that is a list of lists", [["abc"]], "unexpected content"),
        vista_case("that is absent", None, "image missing (its cell is empty)"),
        vista_case("that is an empty text", "", "image missing (its cell is empty)"),
        Case("a picture beside a file that was given alone", words("mathvista", origin="m.jsonl"),
             ("image beside the file", "--from FOLDER"),
             {"m.jsonl": json.dumps(vista(decoded_image="secret.png")) + "\n", "secret.png": png()},
             absent=("out/vision/mathvista.parquet",)),
        virl_case("in an archive outside the set", "1.png", outside, files={"far/images.zip": good_archive},
                  prepare=lambda folder: (folder / "set/images.zip").symlink_to(folder / "far/images.zip")),
        virl_case("two folders up", "../../secret.png", outside),
        virl_case("one folder up that is a picture", "../secret.png", outside),
        virl_case("behind a link out of the set", "images/hostname", outside, prepare=link("/etc")),
        virl_case("behind a link to a picture outside", "images", outside, prepare=link("{tmp}/secret.png")),
        virl_case("in a circle of links", "images/1.png", "image missing", prepare=link("images")),
        virl_case("in the archive that are texts", "images/text.png", "not an image", files=zipped),
        virl_case("in the archive that are too large", "images/bomb.png", "at most 67,108,864 are read", files=zipped),
        virl_case("up and out of the archive", "../secret.txt", outside, files=zipped),
        virl_case("in an archive that is cut off", "images/text.png", "images.zip", files=spoilt),
        virl_case("in an archive that is a text", "images/text.png", "images.zip", files={"set/images.zip": "x"}),
        virl_case("in the archive", "images/1.png", "1 problems of 1 rows", files={"set/images.zip": good_archive},
                  code=0, absent=(), after=None),
    ]  # fmt: skip


def inputs() -> list[Case]:
    def case(name: str, file: str, content: Any, *says: str, of: str = "math500") -> Case:
        absent = (f"out/qwen/{of}.parquet", f"out/qwen/{of}.json")
        return Case(f"a file {name}", words(of), says, {f"set/{file}": content}, absent=absent)

    def line(**change: Any) -> str:
        return json.dumps({"problem": "P", "answer": "1", "unique_id": "u", **change}) + "\n"

    def circle(folder: Path) -> None:
        (folder / "set").mkdir()
        (folder / "set" / "test.jsonl").symlink_to("test.jsonl")

    aime, latin = "data/train-0.parquet", line(problem="x").replace("x", "é").encode("latin-1")
    return [
        case("of JSONL that is empty", "test.jsonl", "", "test.jsonl", "holds no rows"),
        case("of JSONL that is blank", "test.jsonl", "\n \n", "holds no rows"),
        case("of JSONL that is cut off", "test.jsonl", line() + line()[:20], "line 2", "was the file cut off?"),
        case("of JSONL nested deep", "test.jsonl", DEEP, "line 1", "nested too deep"),
        case("of JSONL in UTF-16", "test.jsonl", line().encode("utf-16"), "line 1", "not valid UTF-8"),
        case("of JSONL in Latin-1", "test.jsonl", latin, "line 1", "not valid UTF-8"),
        case("of JSONL with a list", "test.jsonl", "[1]\n", "expected a JSON object, got a list"),
        case("of JSONL with other columns", "test.jsonl", '{"a": 1}\n', "has the columns a"),
        case("of JSONL with a column less", "test.jsonl", line() + '{"problem": "P"}\n', "row 2", "unexpected content"),
        case("of JSONL with half a character", "test.jsonl", line(problem="a\ud83d"), "half of a character"),
        case("of JSONL with a number of 9,000 digits", "test.jsonl", '{"problem": ' + "9" * 9000 + "}", "line 1"),
        case("of JSONL that is a Parquet file", "test.jsonl", columns(problem=["P"]), "not valid"),
        case("of JSON that is cut off", "deepscaler.json", "[{", "not readable JSON", of="deepscaler"),
        case("of JSON that is empty", "deepscaler.json", "", "not readable JSON", of="deepscaler"),
        case("of JSON that is a number", "deepscaler.json", "3", "expected a JSON list, got 3", of="deepscaler"),
        case("of JSON that is an object", "deepscaler.json", "{}", "expected a JSON list", of="deepscaler"),
        case("of JSON with numbers", "deepscaler.json", "[3]", "row 1", "expected an object", of="deepscaler"),
        case("of JSON nested deep", "deepscaler.json", DEEP, "nested too deep", of="deepscaler"),
        case("of Parquet that is empty", aime, b"", aime, "not a readable Parquet file", of="aime24"),
        case("of Parquet that is a text", aime, "problem,answer\n", "not a readable Parquet file", of="aime24"),
        case("of Parquet that is cut off", aime, b"PAR1" + b"\0" * 99, "not a readable Parquet file", of="aime24"),
        case("of Parquet without rows", aime, columns(problem=[], answer=[]), "holds no rows", of="aime24"),
        case("of Parquet with other columns", aime, columns(text=["x"]), "has the columns text", of="aime24"),
        case("of Parquet with nulls", aime, columns(problem=[None], answer=[None]), "no problem", of="aime24"),
        case("of Parquet without answers", aime, columns(problem=["P"], answer=[""]), "no answer", of="aime24"),
        case("of verl's with prompts that are text", "x.parquet", columns(prompt=["x"], reward_model=["y"]),
             "row 1", "unexpected content", of="hicra_math"),
        case("of verl's with empty prompts", "x.parquet", columns(prompt=[[]], reward_model=[{"ground_truth": "1"}]),
             "row 1", "unexpected content", of="hicra_math"),
        Case("a file of another kind", words("math500", origin="x.csv"), ("x.csv", "expected a"), {"x.csv": "a,b"}),
        Case("a folder without the files", words("math500"), ("holds neither test.jsonl",), {"set/other.txt": ""}),
        Case("a copy that is not there", words("math500", origin="absent"), ("absent: no such folder or file",)),
        Case("a copy in a circle of links", words("math500"), ("set",), prepare=circle),
        Case("a copy that is a device", words("math500", origin="/dev/null"), ("/dev/null: no such folder or file",)),
        Case(
            "fewer rows than published",
            words("math500", "--strict"),
            ("1 rows", "500 were published", "--any-count"),
            {"set/test.jsonl": line(), "out/qwen/math500.parquet": "the old one"},
            kept=("out/qwen/math500.parquet",),
        ),
    ]  # fmt: skip


def outputs() -> list[Case]:
    lines = "".join(json.dumps({"problem": f"P{n}", "answer": "1", "unique_id": f"{n}"}) + "\n" for n in range(400))
    source = {"set/test.jsonl": lines}

    def case(name: str, output: str, *says: str, **more: Any) -> Case:
        given = ["data", "math500", "--from", "set", "-o", output, "--any-count"]
        return Case(f"the output {name}", given, says, {**source, **more.pop("files", {})}, **more)

    def circle(folder: Path) -> None:
        (folder / "out").symlink_to("out")

    old = {"out/qwen/math500.parquet": "the old one", "out/qwen/math500.json": "{}"}
    return [
        case("is a file", "x", "x", "is a file", files={"x": "x"}, kept=("x",)),
        case("is a device", "/dev/full", "/dev/full"),
        case("is where nothing can be made", "/proc/x", "/proc/x"),
        case("is a circle of links", "out", "out", prepare=circle),
        case("has no room", "out", "math500.parquet", "cannot be written", file_limit=2000,
             absent=("out/qwen/math500.parquet", "out/qwen/math500.json")),
        case("has no room over an old one", "out", "cannot be written", files=old, kept=tuple(old), file_limit=2000),
        case("is a folder where the file goes", "out", "math500.parquet", "is a folder",
             files={"out/qwen/math500.parquet/x": ""}),
    ]  # fmt: skip


def earlier() -> list[Case]:
    """What an earlier run left in the folder."""
    row = {"problem": "P", "answer": "1", "solution": ""}
    source = {"set/deepscaler.json": json.dumps([row])}

    def lock(name: str, content: str, *says: str) -> Case:
        files = {**source, "out/revisions.json": content}
        says = ("revisions.json", *says)
        return Case(f"revisions.json {name}", words("deepscaler"), says, files, kept=("out/revisions.json",))

    def benchmark(name: str, content: Any) -> Case:
        says = ("out/qwen/aime24.parquet", "write it anew, or remove it")
        absent = ("out/qwen/deepscaler.parquet",)
        files = {**source, "out/qwen/aime24.parquet": content}
        return Case(f"a benchmark beside it {name}", words("deepscaler"), says, files, absent=absent)

    return [
        lock("cut off", '{"aime24": "', "not readable JSON", "delete it to begin anew"),
        lock("nested deep", DEEP, "nested too deep"),
        lock("that is a list", "[]", "expected a JSON object"),
        lock("that is empty", "", "not readable JSON"),
        benchmark("that is empty", b""),
        benchmark("that is cut off", b"PAR1" + b"\0" * 40),
        benchmark("with other columns", columns(x=[1])),
        benchmark("whose columns hold something else", columns(extra_info=["x"])),
        benchmark("without the problems", columns(extra_info=[{"uid": "x"}])),
    ]


def the_other_is_written(folder: Path, printed: str) -> None:
    assert pq.read_table(folder / "out/qwen/math500.parquet").num_rows == 1


AIME = {"set/data/train-0.parquet": columns(problem=["P"], answer=["1"])}
CASES = [
    *pictures(),
    *inputs(),
    *outputs(),
    *earlier(),
    Case(
        "Pillow is not installed",
        words("mathvista"),
        ("needs the package PIL", "hicra-verl[recipes]"),
        {"set/data/testmini-0.parquet": table(vista())},
        prepare=without("PIL"),
        absent=("out/vision/mathvista.parquet",),
    ),
    Case("pyarrow is not installed", words("aime24"), ("needs the package pyarrow",), AIME, prepare=without("pyarrow")),
    Case("a set named twice", ["data", "aime24", "aime24"], ("aime24: named twice",), absent=("data",)),
    Case("a set that is not known", ["data", "aime23"], ("did you mean 'aime25'?",), absent=("data",)),
    Case("a template that is not known", ["data", "aime24", "--template", "quen"], ("did you mean 'qwen'?",)),
    Case("a template that leads elsewhere", ["data", "aime24", "--template", "../x"], ("--template ../x",)),
    Case("a revision for another set", ["data", "aime24", "--revision", "amc23=x"], ("amc23 is not among aime24",)),
    Case("two revisions for a set", ["data", "aime24", "--revision", "a", "--revision", "b"], ("one commit",)),
    Case("an empty revision", ["data", "aime24", "--revision", "aime24="], ("expected one commit",)),
    Case("a check of a copy", ["data", "check", "aime24", "--from", "x"], ("asks the hub",)),
    Case("a check of a set that is not known", ["data", "check", "aime23"], ("did you mean 'aime25'?",)),
    Case(
        "several sets, of which one fails",
        ["data", "math500", "aime24", "--from", "set", "-o", "out", "--any-count"],
        ("aime24", "1 of 2 failed: aime24"),
        {"set/test.jsonl": '{"problem": "P", "answer": "1", "unique_id": "u"}\n'},
        after=the_other_is_written,
    ),
]
