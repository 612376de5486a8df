"""The page of `hicra report` in a real browser: each ability of each view, on made-up runs, real text and the demo."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browser, chromium
from conftest import DATA, FIXTURES, ROOT
from made_up_reports import make_report
from made_up_runs import make_run
from real_runs import CHECK, JUDGED, JUMP, LIMIT, PROMPTS, SAMPLES, STEPS, TRACED, Rows, make_real_run, tokens_of

from hicra_verl.report.build import write_report

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium here (Debian: apt-get install chromium)")

VIEWS = ("curves", "rollouts", "prompt", "tokens", "grams", "errors", "configuration", "gaps")
READY = "document.querySelector('#view')?.getAttribute('aria-busy') === 'false'"
ALL = STEPS * PROMPTS * SAMPLES
HELD_OUT = 2 * PROMPTS  # two validations


@dataclass
class Page:
    """A report in the browser."""

    tab: Browser
    path: Path
    rows: dict[str, Rows]

    def go(self, address: str) -> None:
        """Show one state, from wherever the page is."""
        index = self.path / "index.html" if self.path.is_dir() else self.path
        here = self.run("location.href.split('#')[0]")
        if here != index.as_uri():
            self.tab.open(f"{index.as_uri()}#{address}", f"document.readyState === 'complete' && {READY}")
        else:
            self.act(f"location.hash = '#{address}'")
        self.wait(READY)

    def act(self, script: str) -> None:
        """Do something, and wait until the page has shown what follows from it."""
        self.run(f"(async () => {{ {script}; await new Promise((done) => setTimeout(done, 30)); }})()")
        self.wait(READY)

    def run(self, script: str) -> Any:
        return self.tab.run(script)

    def wait(self, condition: str) -> None:
        self.tab.wait(condition)

    def text(self, selector: str = "#view") -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((x) => x.innerText)")
        return found

    def count(self, selector: str) -> int:
        return int(self.run(f"document.querySelectorAll({json.dumps(selector)}).length"))

    def click(self, selector: str) -> None:
        self.act(f"document.querySelector({json.dumps(selector)}).click()")

    def set(self, key: str, value: str) -> None:
        """Change a control as a person does."""
        self.act(
            f"const input = [...document.querySelectorAll('[data-key=\"{key}\"]')].find((one) => one.isConnected);"
            f"input.value = {json.dumps(value)}; input.dispatchEvent(new Event('change'))"
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.press(key)
        self.act("0")

    def quiet(self) -> None:
        """No script failed, and the policy stopped nothing."""
        assert self.tab.complaints == []


def found_count(page: Page) -> int:
    """How many responses the view says there are."""
    page.wait("!document.querySelector('#count')")
    said = page.text("#found")
    found = re.match(r"([\d,]+) responses?", said)
    return int(found[1].replace(",", "")) if found else 0


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        opened.size(1280, 900)
        yield opened


@pytest.fixture(autouse=True)
def fresh(tab: Browser) -> Iterator[None]:
    tab.complaints.clear()
    yield
    tab.size(1280, 900)
    tab.media()


def real_rollouts() -> list[dict[str, Any]]:
    """Real responses where they are; else the project's own twelve."""
    path = DATA / "rollouts" / "gsm8k_four_models.jsonl"
    path = path if path.exists() else FIXTURES / "responses.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:400]]


@pytest.fixture(scope="module")
def real_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Rows]]:
    """Two seeds of one method and one run of another, of real text, as a folder."""
    folder = tmp_path_factory.mktemp("real")
    rollouts = real_rollouts()
    rows = {
        "hicra_1": make_real_run(folder / "a", rollouts, 1),
        "hicra_2": make_real_run(folder / "b", rollouts, 2),
        "grpo": make_real_run(folder / "c", rollouts, 3, jump=STEPS + 1, skill=-0.2),
    }
    shutil.rmtree(folder / "c" / "hicra_traces")
    shutil.rmtree(folder / "c" / "errors")
    command = (folder / "c" / "command.txt").read_text()
    (folder / "c" / "command.txt").write_text(command.replace("adv_estimator=hicra", "adv_estimator=grpo"))
    words = [f"hicra={folder / 'a'}", f"hicra={folder / 'b'}", f"grpo={folder / 'c'}"]
    write_report(words, folder / "report", title="Real text")
    return folder / "report", rows


@pytest.fixture
def real(tab: Browser, real_folder: tuple[Path, dict[str, Rows]]) -> Iterator[Page]:
    page = Page(tab, *real_folder)
    yield page
    page.quiet()


# --- curves -----------------------------------------------------------------------------------------------------------

CHART = "document.querySelector('.chart')"


def curves(page: Page) -> list[dict[str, Any]]:
    """The lines of the first chart."""
    page.wait(f"{CHART}?.data")
    found: list[dict[str, Any]] = page.run(
        f"{CHART}.data.map((line) => ({{x: line.x, y: line.y, fill: line.fill ?? '', run: line.run ?? null}}))"
    )
    return found


def test_seeds_are_bands_and_runs_lie_over_each_other(real: Page) -> None:
    real.go("curves")
    lines = curves(real)
    drawn = [line for line in lines if line["run"] is not None]
    assert {line["run"] for line in drawn} == {0, 2}  # a method with two seeds, and a run
    assert [line["fill"] for line in lines].count("tonexty") == 2  # of training and held-out accuracy
    mean = next(line for line in drawn if line["run"] == 0 and len(line["y"]) == STEPS)
    scores = [
        [
            sum(row["score"] for row in real.rows[name][step]) / len(real.rows[name][step])
            for step in range(1, STEPS + 1)
        ]
        for name in ("hicra_1", "hicra_2")
    ]
    assert mean["y"] == pytest.approx([(a + b) / 2 for a, b in zip(*scores, strict=True)])
    high, low = lines[0]["y"], lines[1]["y"]
    assert high == pytest.approx([max(pair) for pair in zip(*scores, strict=True)])
    assert low == pytest.approx([min(pair) for pair in zip(*scores, strict=True)])
    real.click("[data-key=each]")
    lines = curves(real)
    assert {line["run"] for line in lines if line["run"] is not None} == {0, 1, 2}
    assert "tonexty" not in [line["fill"] for line in lines]


def test_runs_are_chosen_and_curves_smoothed(real: Page) -> None:
    real.go("curves")
    before = next(line["y"] for line in curves(real) if line["run"] == 0)
    real.set("smooth", "0.5")
    real.wait(f"{CHART}?.data")
    assert "smooth=0.5" in real.run("location.hash")
    after = next(line["y"] for line in curves(real) if line["run"] == 0)
    second = (0.25 * before[0] + 0.5 * before[1]) / 0.75  # a mean that is not drawn towards zero at its beginning
    assert after[:2] == pytest.approx([before[0], second])
    real.go("curves?runs=2")
    assert {line["run"] for line in curves(real) if line["run"] is not None} == {2}
    real.go("curves?q=entropy")
    assert any(
        "entropy" in label
        for label in real.run("[...document.querySelectorAll('.chart')].map((x) => x.ariaLabel.toLowerCase())")
    )
    real.go("curves?q=no such measure")
    assert real.count(".chart") == 0


def test_a_click_on_a_step_opens_its_rollouts(real: Page) -> None:
    real.go("curves")
    lines = curves(real)
    curve = next(place for place, line in enumerate(lines) if line["run"] == 2)
    x, y = real.run(
        f"""(() => {{ const box = {CHART}, edge = box.getBoundingClientRect(), {{xaxis, yaxis}} = box._fullLayout,
        line = box.data[{curve}]; 
        return [edge.x + xaxis._offset + xaxis.d2p(line.x[3]), edge.y + yaxis._offset + yaxis.d2p(line.y[3])]; }})()"""
    )
    real.tab.click(x, y)
    real.wait("location.hash.startsWith('#rollouts')")
    real.wait(READY)
    assert real.run("location.hash") == "#rollouts?run=2&step=4"
    assert found_count(real) == PROMPTS * SAMPLES
    real.go("curves")
    real.act("document.querySelector('.opener input').value = 2; document.querySelector('.opener button').click()")
    assert real.run("location.hash") == "#rollouts?run=0&step=2"


def test_a_step_without_rollouts_opens_the_nearest(real: Page) -> None:
    real.go("curves")
    real.act("document.querySelector('.opener input').value = 999; document.querySelector('.opener button').click()")
    assert real.run("location.hash") == f"#rollouts?run=0&step={STEPS}"
    assert "No rollouts were dumped at step 999" in real.text("#message")


# --- rollouts ---------------------------------------------------------------------------------------------------------


def training(page: Page, name: str = "hicra_1") -> list[dict[str, Any]]:
    return [row for rows in page.rows[name].values() for row in rows]


def test_filters(real: Page) -> None:
    rows = training(real)
    right = sum(row["score"] > 0 for row in rows)
    lengths = [len(row["output"]) for row in rows]
    middle = sorted(lengths)[ALL // 2]
    traced = STEPS * TRACED
    clipped = sum(
        len(tokens_of(row["output"])) >= LIMIT for some in real.rows["hicra_1"].values() for row in some[:TRACED]
    )
    for query, expected in {
        "": ALL,
        "right=1": right,
        "right=0": ALL - right,
        f"min={middle}": sum(length >= middle for length in lengths),
        f"max={middle}": sum(length <= middle for length in lengths),
        "step=2": PROMPTS * SAMPLES,
        "traced=1": traced,
        "clipped=1": clipped,
        "clipped=0": traced - clipped,
        "turns=2": 0,
        "turns=1": ALL,
    }.items():
        real.go(f"rollouts?run=0&kind=train&{query}")
        assert found_count(real) == expected, query
    real.go("rollouts?run=0")
    assert found_count(real) == ALL + HELD_OUT


def test_filters_of_planning_and_groups(real: Page) -> None:
    real.go("rollouts?run=0&kind=train&noplan=1")
    none = found_count(real)
    assert real.count("table.rows tbody tr") == min(50, none)
    functions = real.run("manifest.functions.length")
    some = set()
    for place in range(functions):
        real.go(f"rollouts?run=0&kind=train&fn={place}")
        some.add(found_count(real))
    assert max(some) <= ALL - none
    real.go("rollouts?run=0&kind=train")
    real.act(
        "const gram = document.querySelector('.gram input'); gram.value = 'so'; gram.dispatchEvent(new Event('change'))"
    )
    with_so = found_count(real)
    assert with_so == real.run(
        "rowsWithGram(0, manifest.gram_list.findIndex(([text]) => text === 'so'))"
        ".then((rows) => rows.filter((row) => sectionOf(0, row).kind === 'train').length)"
    )
    groups = [
        {row["score"] for row in rows if row["uid"].startswith(f"s{step}p{place}_")}
        for step, rows in real.rows["hicra_1"].items() for place in range(PROMPTS)
    ]  # fmt: skip
    for signal, expected in (("1", sum(len(one) > 1 for one in groups)), ("0", sum(len(one) < 2 for one in groups))):
        real.go(f"rollouts?run=0&kind=train&signal={signal}")
        assert found_count(real) == SAMPLES * expected


def test_sort(real: Page) -> None:
    real.go("rollouts?run=0&kind=train&sort=-length")
    lengths = [int(text.replace(",", "")) for text in real.texts("#table tbody td:nth-child(4)")]
    assert lengths == sorted((len(row["output"]) for row in training(real)), reverse=True)[:50]
    title = "#table thead th:nth-child(4)"
    assert real.run(f"document.querySelector('{title}').getAttribute('aria-sort')") == "descending"
    real.click(f"{title} button")
    assert "sort=length" in real.run("location.hash")
    assert int(real.texts("#table tbody td:nth-child(4)")[0].replace(",", "")) == min(
        len(row["output"]) for row in training(real)
    )


@pytest.mark.parametrize(
    ("query", "pattern", "kind"),
    [
        ("total", r"\btotal\b", "one word"),
        ("the total", r"\bthe\s+total\b", "words in their order"),
        ("THE  Total", r"\bthe\s+total\b", "whatever their case"),
        ("let me check that again.", r"\blet me check that again\.", "with marks"),
        (" = ", r"=", "no word at all"),
        ("nosuchwordatall", r"nosuchwordatall", "none"),
    ],
)
def test_search_for_words(real: Page, query: str, pattern: str, kind: str) -> None:
    real.go("rollouts?run=0&kind=train")
    real.set("q", query)
    expected = sum(bool(re.search(pattern, row["output"], re.IGNORECASE)) for row in training(real))
    assert found_count(real) == expected, kind
    if expected:
        assert re.fullmatch(pattern, real.texts("#table mark.hit")[0].strip(), re.IGNORECASE)
    real.run("document.querySelector('#table tbody tr')?.click()")
    if expected:
        real.wait("document.querySelector('#detail .text mark.hit')")


@pytest.mark.parametrize(
    "pattern",
    [
        r"tot\w*",
        r"\btot",
        r"[st]he",
        r"wait,? let",
        r"= \d+",
        r"(so|then) \w+ has",
        r"(\d)\1",
        r"[^a]",
        r"check that (again|now)",
    ],
)
def test_search_by_a_regular_expression(real: Page, pattern: str) -> None:
    real.go("rollouts?run=0&kind=train")
    real.run("document.querySelector('[data-key=re]').click()")
    real.set("q", pattern)
    expected = sum(bool(re.search(pattern, row["output"], re.IGNORECASE)) for row in training(real))
    assert found_count(real) == expected


def test_a_pattern_that_is_none_is_said(real: Page) -> None:
    real.go("rollouts?run=0&re=1&q=(")
    assert "no regular expression" in real.text("#message")
    real.go("rollouts?run=0&re=1&q=so")
    assert not real.run("document.querySelector('#message').innerText")


def test_what_the_index_spares(real: Page) -> None:
    """One word needs no text; words need few; a pattern without words reads all, may be stopped, and goes on."""
    real.go("rollouts?run=0")
    real.run("window.plain_response ??= responseOf")
    candidates = "(async (q, re) => (await queryOf(q, re).candidates(0)))"
    assert real.run(f"{candidates}('total', false).then(({{exact}}) => exact)") is True
    assert real.run(f"{candidates}('tot[a-z]l', true).then(({{exact}}) => exact)") is True
    assert (
        real.run(
            f"{candidates}('total of', false).then(({{exact, rows}}) => !exact && rows.length < manifest.runs[0].rows)"
        )
        is True
    )
    assert (
        real.run(f"{candidates}('total (of|in)', true).then(({{rows}}) => rows.length < manifest.runs[0].rows)") is True
    )
    assert real.run(f"{candidates}('a|b ', true).then(({{rows}}) => rows)") is None
    slow = "await new Promise((done) => setTimeout(done, 700)); return plain_response(...all);"
    real.run(f"responseOf = async (...all) => {{ {slow} }}; 0")
    real.run("location.hash = '#rollouts?run=0&re=1&q=%5C%5B%5C%5B%5C%5B'")
    real.wait("!document.querySelector('#reading').hidden")
    real.run("document.querySelector('#stop').click()")
    real.wait(READY)
    assert "candidates read" in real.text("#found")
    assert real.run("search.value.done") is False
    real.run("responseOf = plain_response")
    real.run("document.querySelector('#count').click()")
    real.wait("search.value.done && document.querySelector('#reading').hidden")
    assert "No response" in real.text("#found")


def test_a_group_with_rewards_and_advantages(real: Page) -> None:
    real.go("rollouts?run=2&step=3&kind=train")
    real.click("#table tbody tr:nth-child(2)")
    rows = real.rows["grpo"][3][:SAMPLES]
    assert real.count("#detail table tbody tr") == SAMPLES
    scores = [row["score"] for row in rows]
    shown = [text.split()[1] for text in real.texts("#detail tbody td:nth-child(1)")]
    assert [float(text) for text in shown] == scores
    mean = sum(scores) / SAMPLES
    spread = (sum((score - mean) ** 2 for score in scores) / (SAMPLES - 1)) ** 0.5
    found = [float(text.strip().replace(",", "")) for text in real.texts("#detail tbody td:nth-child(2)")]
    assert found == pytest.approx([(score - mean) / (spread + 1e-6) for score in scores], abs=1e-3)
    assert real.run("document.querySelector('#detail .prompt').textContent") == rows[0]["input"]
    assert real.run("document.querySelector('#detail .response .text').textContent") == rows[1]["output"]
    real.press("ArrowRight")
    assert real.run("document.querySelector('#detail .response .text').textContent") == rows[2]["output"]
    real.press("ArrowLeft", "ArrowLeft")
    real.wait(f"document.querySelector('#detail .response .text').textContent === {json.dumps(rows[0]['output'])}")
    real.go(real.run("location.hash").lstrip("#") + "&all=1")
    assert real.run("[...document.querySelectorAll('#detail .response .text')].map((x) => x.textContent)") == [
        row["output"] for row in rows
    ]
    real.press("Escape")
    real.wait("document.querySelector('#detail').hidden")


def test_what_a_step_changed(real: Page) -> None:
    real.go(f"rollouts?run=0&step={JUMP}&kind=train")
    real.click("#against summary")
    table = {
        line.split("\t")[0]: line.split("\t")[1:] for line in real.text("#against table").splitlines() if "\t" in line
    }
    before, now = (
        sum(len(row["output"]) for row in real.rows["hicra_1"][step]) / (PROMPTS * SAMPLES) for step in (JUMP - 1, JUMP)
    )
    assert [int(one.replace(",", "")) for one in table["mean length"][:2]] == [round(before), round(now)]
    assert table["groups"][1] == str(PROMPTS)
    assert "wait" in real.text("#against").lower()  # the gram of what was added


PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TOOL = "<tool_response>\n5 is <i>prime</i>\n</tool_response>"


def test_turns_tool_output_and_images(tab: Browser, tmp_path: Path) -> None:
    """What an agent's tool answered is told from what it wrote; images that the dump holds are shown, no others."""
    run = make_run(tmp_path / "run", steps=1)
    output = f"Is 5 prime? I ask.\nuser\n{TOOL}\nassistant\nSo it is."
    svg = "data:image/svg+xml;base64,PHN2Zy8+"
    rows = [
        {"input": "p", "output": output, "gts": "", "score": 1.0, "uid": "g_0_0", "images": [PIXEL, svg]},
        {
            "input": "p",
            "output": "so",
            "gts": "",
            "score": 0.0,
            "uid": "g_1_0",
            "picture": PIXEL,
            "turns": "<b>no list",
        },
    ]
    (run / "rollouts" / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_report([f"a={run}"], tmp_path / "report.html")
    page = Page(tab, tmp_path / "report.html", {})
    page.go("rollouts?run=0&kind=train&step=1&turns=2")
    assert found_count(page) == 1
    page.click("#table tbody tr")
    marked = page.run("[...document.querySelectorAll('#detail .turn-tool')].map((x) => x.textContent).join('')")
    assert TOOL in marked
    assert "I ask" not in marked
    assert "So it is" not in marked
    assert page.run("document.querySelector('#detail .text:not(.prompt)').textContent") == output
    page.wait("document.querySelector('#detail img').naturalWidth === 1")
    assert page.count("#detail img") == 1
    page.press("ArrowRight")
    page.wait("document.querySelector('#detail .response .text').textContent === 'so'")
    assert page.count("#detail img") == 1
    page.quiet()


# --- prompts ----------------------------------------------------------------------------------------------------------


def accounts(rows: Rows) -> dict[str, list[tuple[int, int]]]:
    """Each prompt's right responses, and how many there were, at each step that has it."""
    found: dict[str, list[tuple[int, int]]] = {}
    for step in sorted(rows):
        counts: Counter[str] = Counter()
        right: Counter[str] = Counter()
        for row in rows[step]:
            counts[row["input"]] += 1
            right[row["input"]] += row["score"] > 0
        for prompt in counts:
            found.setdefault(prompt, []).append((right[prompt], counts[prompt]))
    return found


def test_which_prompts_went_from_wrong_to_right(real: Page) -> None:
    real.go("prompt?run=0&kind=train")
    changes = []
    for line in real.texts("#prompts tbody tr"):
        number, steps, first, last, change, *_ = line.split("\t")
        prompt = real.run(f"promptText({number})")
        own = accounts(real.rows["hicra_1"])[prompt]
        assert int(steps) == len(own)
        assert (first, last) == tuple(f"{right} of {of}" for right, of in (own[0], own[-1]))
        changes.append(own[-1][0] / own[-1][1] - own[0][0] / own[0][1])
        assert change.rstrip("%").lstrip("+") == f"{100 * changes[-1]:.1f}"
    assert changes == sorted(changes, reverse=True)
    assert len(changes) == len(accounts(real.rows["hicra_1"]))


def test_two_runs_on_the_same_prompts(real: Page) -> None:
    real.go("prompt?run=0&other=2&kind=train")
    for line in real.texts("#prompts tbody tr"):
        number, *_, mine, theirs, difference, _ = line.split("\t")
        prompt = real.run(f"promptText({number})")
        for name, said in (("hicra_1", mine), ("grpo", theirs)):
            own = accounts(real.rows[name])[prompt]
            assert said == f"{sum(right for right, _ in own)} of {sum(of for _, of in own)}"
        assert difference.endswith("%")


def test_one_prompt_across_steps_and_runs_with_what_changed(real: Page) -> None:
    real.go("prompt?run=0&other=2&kind=train")
    real.click("#prompts tbody tr")
    prompt = real.run("document.querySelector('#prompts .prompt').textContent")
    assert real.count("#prompts tbody tr") == sum(len(accounts(rows)[prompt]) for rows in real.rows.values())
    real.wait(f"{CHART}?.data?.length === 3")

    def sides() -> list[str]:
        found: list[str] = real.run("[...document.querySelectorAll('.response .text')].map((x) => x.textContent)")
        return found

    def kept(side: int, cls: str) -> str:
        nodes = f"[...document.querySelectorAll('.response .text')[{side}].childNodes]"
        own = f"filter((x) => !x.classList?.contains('{cls}'))"
        return str(real.run(f"{nodes}.{own}.map((x) => x.textContent).join('')"))

    for _ in range(2):
        a, b = sides()
        assert kept(0, "gone") == kept(1, "new")  # without what changed, the two are one text
        for text in (a, b):
            assert text in {row["output"] for rows in real.rows.values() for some in rows.values() for row in some}
        real.click("#prompts tbody tr:last-child button:first-of-type")  # A: the other run's last
    assert re.search(r"A: grpo", real.text("#prompts"))


def test_a_difference_of_texts_takes_bounded_time(real: Page) -> None:
    real.go("prompt")
    words = "const some = (n) => Array.from({length: 9000}, (_, i) => `w${(i * i * n) % 997}`).join(' ');"
    took, whole = real.run(
        f"(() => {{ {words} const t = performance.now(), d = wordDiff(some(3), some(5)); "
        "return [performance.now() - t, d.whole]; })()"
    )
    assert took < 3000
    assert whole is False
    same = "const d = wordDiff('She has 3 eggs left.', 'She has 4 ducks left.'); return [d.a, d.b]"
    assert real.run(f"(() => {{ {same} }})()") == [[[8, 9], [10, 14]], [[8, 9], [10, 15]]]


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_token_by_token(real: Page) -> None:
    real.go("tokens?run=0&step=3")
    row = real.rows["hicra_1"][3][0]
    tokens = tokens_of(row["output"])
    assert real.run("[...document.querySelectorAll('.tokens span')].map((x) => x.textContent)") == tokens
    painted = {}
    for measure in real.run("[...document.querySelector('[data-key=by]').options].map((x) => x.value)"):
        real.go(f"tokens?run=0&step=3&by={measure}")
        painted[measure] = real.run(
            "[...document.querySelectorAll('.tokens span')].map((x) => x.className + x.style.backgroundColor).join()"
        )
    assert {"function", "entropy_nats", "advantage"} <= set(painted)
    assert len(set(painted.values())) >= 4  # without planning in it, base and shaped advantage are one
    x, y = real.run(
        "(() => { const box = document.querySelector('.tokens span:nth-child(3)').getBoundingClientRect(); "
        "return [box.x + 2, box.y + 8]; })()"
    )
    for place in ((1, 1), (x, y)):
        real.tab.ask("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    real.wait("document.querySelector('#token').dataset.place === '2'")
    facts = dict(zip(real.texts("#token dt"), real.texts("#token dd"), strict=True))
    assert json.loads(facts["token"]) == tokens[2]
    assert {"function", "entropy", "shaped advantage"} <= set(facts)
    real.press("ArrowRight")
    real.wait("document.querySelector('#token').dataset.place === '3'")


def test_base_and_shaped_advantage_side_by_side(real: Page) -> None:
    real.go("tokens?run=0&step=3&by=advantage&base=1")
    measures = real.run("[...document.querySelectorAll('.tokens')].map((x) => x.dataset.measure)")
    assert measures == ["base_advantage", "advantage"]
    facts = dict(zip(real.texts("#token dt"), real.texts("#token dd"), strict=True))
    assert {"log-prob", "probability difference", "base advantage", "shaped advantage"} <= set(facts)


def test_from_a_rollout_to_its_tokens_and_back(real: Page) -> None:
    real.go("rollouts?run=0&step=3&traced=1")
    real.click("#table tbody tr")
    before = real.run("location.hash")
    real.act("[...document.querySelectorAll('#detail h3 a')].find((x) => x.textContent === 'token by token').click()")
    assert real.run("location.hash").startswith("#tokens?run=0&step=3")
    text = real.run("document.querySelector('.tokens').textContent")
    assert text == real.rows["hicra_1"][3][0]["output"]
    real.click("#trace h2 button")
    real.wait("location.hash.startsWith('#rollouts')")
    assert real.run("new URLSearchParams(location.hash.split('?')[1]).get('row')") == re.search(r"row=(\d+)", before)[1]  # type: ignore[index]


# --- grams, errors, configuration, gaps -------------------------------------------------------------------------------


def test_grams(real: Page) -> None:
    real.go("grams?run=0")
    rows = [line.split("\t") for line in real.texts("#gram-table tbody tr")]
    changes = [float(row[3].strip("%+")) for row in rows]
    assert changes == sorted(changes, reverse=True)
    assert rows[0][0].strip() in (
        "let me",
        "again",
        "wait",
        "check",
        "let me check",
        "check that",
    )  # what was added at the jump
    assert "no cause" in real.text(".warning")
    assert re.search(r"[+-]?[\d.]+% \[[+-]?[\d.]+%, [+-]?[\d.]+%\]", rows[0][-1])
    real.click("#gram-table tbody tr")
    real.wait(f"{CHART}?.data")
    assert real.run(f"{CHART}.data[0].x") == list(range(1, STEPS + 1))
    contexts = real.texts("#gram-detail .contexts a")
    assert contexts
    real.run("document.querySelector('#gram-detail .contexts a').click()")
    real.wait("location.hash.startsWith('#rollouts')")
    real.wait(f"{READY} && document.querySelector('#detail .response')")
    assert CHECK.split()[0].lower() in real.text("#detail .response").lower()
    real.go("grams?run=0&q=wait")
    assert all("wait" in line for line in real.texts("#gram-table tbody td:first-child"))


def test_errors(real: Page) -> None:
    real.go("errors?run=0")
    assert JUDGED in real.text("#errors")
    real.wait(f"{CHART}?.data")
    total = int(re.match(r"(\d+)", real.text("#errors-said"))[1])  # type: ignore[index]
    assert total == sum(min(3, sum(not row["score"] for row in rows)) for rows in real.rows["hicra_1"].values())
    real.set("category", "Other errors")
    assert 0 < int(re.match(r"(\d+)", real.text("#errors-said"))[1]) < total  # type: ignore[index]
    assert all("Other errors" in text for text in real.texts("#errors .response h3"))
    real.go("errors?run=2")
    assert "No errors of grpo were judged" in real.text("#errors-said")


def test_configuration(real: Page) -> None:
    real.go("configuration")
    settings = {line.split("\t")[0]: line.split("\t")[2:] for line in real.texts("#settings tbody tr")}
    assert settings == {"data.seed": ["1", "2", "3"], "algorithm.adv_estimator": ["hicra", "hicra", "grpo"]}
    real.click("[data-key=all]")
    assert "data.train_batch_size" in real.text("#settings")
    assert "HIDDENHIDDEN" not in real.run("document.body.textContent")


def test_gaps(real: Page) -> None:
    real.go("gaps")
    sections = real.texts("#gaps section")
    assert len(sections) == 3
    assert "token by token" in sections[2]
    real.go("tokens?run=2")
    assert "kept no response token by token" in real.text("#token-note")


def test_a_run_that_never_heard_of_hicra(tab: Browser, tmp_path: Path) -> None:
    """verl's own folder of dumps alone: every view opens, and says what is missing."""
    run = make_run(tmp_path / "run", steps=2)
    write_report([f"<b>grpo={run / 'rollouts'}"], tmp_path / "report.html")
    page = Page(tab, tmp_path / "report.html", {})
    for view in VIEWS:
        page.go(view)
        assert page.text().strip()
        assert not page.run("document.querySelector('#message').innerText")
    page.go("gaps")
    assert len(page.texts("#gaps li")) >= 4
    page.quiet()


# --- five questions, by the clicks that docs/report.md names --------------------------------------------------------


def open_view(page: Page, name: str) -> None:
    """From the first view, as a person does."""
    page.go("curves")
    page.act(f"[...document.querySelectorAll('nav a')].find((link) => link.textContent === '{name}').click()")


def title(page: Page, name: str) -> None:
    """Sort the visible table by a column."""
    page.act(
        "[...document.querySelectorAll('thead button')].find((one) => one.offsetParent && "
        f"one.textContent.startsWith('{name}')).click()"
    )


def test_question_1_which_prompts_went_from_wrong_to_right(real: Page) -> None:
    open_view(real, "Prompts")
    page_prompt = real.texts("#prompts tbody td:first-child")[0]
    real.click("#prompts tbody tr")
    assert real.text("#prompts h2") == f"Prompt {page_prompt}"
    assert real.count(".response .text") == 2
    assert "✓" in real.run("document.querySelectorAll('.response select')[1].selectedOptions[0].textContent")


def test_question_2_which_gram_grew_most(real: Page) -> None:
    open_view(real, "Grams")
    gram = real.texts("#gram-table tbody td:first-child")[0]
    real.click("#gram-table tbody tr")
    assert real.text("#gram-detail h2") == gram
    assert real.count("#gram-detail .contexts li") > 0


def test_question_3_why_did_the_length_jump(real: Page) -> None:
    real.go("curves")
    box = "[...document.querySelectorAll('.chart')].find((x) => x.ariaLabel.includes('Response length'))"
    real.wait(f"{box}?.data")
    x, y = real.run(
        f"(() => {{ const box = {box}, edge = box.getBoundingClientRect(), line = box.data.find((x) => x.run === 0), "
        f"at = line.x.indexOf({JUMP}), {{xaxis, yaxis}} = box._fullLayout; "
        "return [edge.x + xaxis._offset + xaxis.d2p(line.x[at]), edge.y + yaxis._offset + yaxis.d2p(line.y[at])]; })()"
    )
    real.tab.click(x, y)
    real.wait("location.hash.startsWith('#rollouts')")
    real.wait(READY)
    real.click("#against summary")
    assert f"Step {JUMP} against step {JUMP - 1}" in real.text("#against")
    assert "let me" in real.text("#against") or "wait" in real.text("#against")
    title(real, "characters")
    real.click("#table tbody tr")
    assert CHECK.strip() in real.run("document.querySelector('#detail .response .text').textContent")


def test_question_4_what_do_clipped_responses_look_like(real: Page) -> None:
    open_view(real, "Rollouts")
    real.click(".more summary")
    real.set("clipped", "1")
    rows = [
        row for some in real.rows["hicra_1"].values() for row in some[:TRACED] if len(tokens_of(row["output"])) >= LIMIT
    ]
    assert found_count(real) == len(rows)
    if rows:
        real.click("#table tbody tr")
        assert real.run("document.querySelector('#detail .response .text').textContent") == rows[0]["output"]


def test_question_5_do_two_runs_differ_on_a_prompt(real: Page) -> None:
    open_view(real, "Prompts")
    real.set("other", "2")
    title(real, "number")
    real.click("#prompts tbody tr")
    table = real.text("#prompts table")
    assert "hicra_1" in table
    assert "grpo" in table
    assert real.count(".response .text") == 2


# --- addresses, keys, looks -------------------------------------------------------------------------------------------

STATES = [
    "curves?smooth=0.5&runs=0%2C2",
    "rollouts?run=2&step=4&kind=train&sort=-length&right=0",
    "rollouts?run=0&q=total&row=30",
    "prompt?run=0&other=2&prompt=1",
    "tokens?run=1&step=2&trace=1&by=entropy_nats",
    "grams?run=1&sort=difference&gram=0",
    "errors?run=0&category=Other%20errors",
    "configuration?all=1",
]


@pytest.mark.parametrize("state", STATES)
def test_an_address_holds_the_whole_state(real: Page, state: str) -> None:
    real.go(state)
    drawn = "[...document.querySelectorAll('.chart')].slice(0, 4).every((x) => x.data)"
    fold = "document.querySelectorAll('#view details.more').forEach((x) => x.open = false)"
    real.wait(drawn)
    real.run(fold)
    before = real.text()
    controls = (
        "[...document.querySelectorAll('#view [data-key]')].map((x) => x.type === 'checkbox' ? x.checked : x.value)"
    )
    values = real.run(controls)
    real.tab.leave()
    real.go(state)
    assert real.run(controls) == values
    real.wait(drawn)
    real.run(fold)
    assert real.text() == before


def test_back_leads_back(real: Page) -> None:
    real.go("rollouts?run=0")
    real.go("rollouts?run=0&q=total")
    real.run("history.back()")
    real.wait("location.hash === '#rollouts?run=0'")
    real.wait(READY)
    assert real.run("document.querySelector('[data-key=q]').value") == ""


def test_keys(real: Page) -> None:
    real.go("curves")
    real.press("2")
    real.wait("location.hash === '#rollouts'")
    real.wait(READY)
    real.press("/")
    assert real.run("document.activeElement.dataset.key") == "q"
    real.press("Escape", "?")
    assert real.run("document.querySelector('#keys').open")
    real.press("Escape")
    assert not real.run("document.querySelector('#keys').open")
    place = "[...document.querySelectorAll('#table tbody tr')].indexOf(document.activeElement)"
    real.press("ArrowDown")
    assert real.run(place) == 0
    real.press("ArrowDown", "ArrowDown", "ArrowUp")
    assert real.run(place) == 1
    real.press("Enter")
    real.wait("location.hash.includes('row=1')")
    real.wait("!document.querySelector('#detail').hidden")
    assert real.run(place) == 1  # the focus stays in the table
    real.press("Escape", "]")
    real.wait("location.hash.includes('page=1')")
    real.press("[")
    real.wait("!location.hash.includes('page=1')")


CONTRAST = """
(() => {
  const numbers = (code) => code.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
  const shade = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const c = numbers(getComputedStyle(node).backgroundColor);
      if ((c[3] ?? 1) > .99) return c;
    }
    return [255, 255, 255];
  };
  const poor = [], kinds = 'th, td, a, button, label, p, h1, h2, h3, option, summary, legend, .verdict, .flag, dt, dd';
  for (const node of document.querySelectorAll(kinds)) {
    if (!node.offsetParent || node.closest('svg') || !node.textContent.trim() || node.disabled) continue;
    const [x, y] = [shade(numbers(getComputedStyle(node).color)), shade(behind(node))].sort((a, b) => b - a);
    const contrast = (x + .05) / (y + .05);
    if (contrast < 4.5) poor.push(`${node.tagName}.${node.className} ${node.textContent.slice(0, 20)} ${contrast}`);
  }
  return [...new Set(poor)].slice(0, 5);
})()"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(real: Page, theme: str) -> None:
    real.tab.media(prefers_color_scheme=theme)
    for view in (
        "rollouts?run=0&step=3&row=33",
        "prompt?prompt=0",
        "grams?gram=0",
        "configuration",
        "gaps",
        "errors",
        "tokens?by=function",
    ):
        real.go(view)
        assert real.run(CONTRAST) == [], view
    bright = real.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert bright == (theme == "light")
    real.click("#theme")
    other = real.run("document.documentElement.style.colorScheme")
    real.run("document.documentElement.style.colorScheme = ''")
    assert other == ("dark" if bright else "light")


def test_a_phone_scrolls_no_view_sideways(real: Page) -> None:
    real.tab.size(390, 844, mobile=True)
    for view in (
        *VIEWS,
        "rollouts?run=0&row=3",
        "rollouts?run=0&q=total",
        "prompt?prompt=1",
        "grams?gram=0",
        "tokens?base=1&by=advantage",
    ):
        real.go(view)
        assert real.run("document.documentElement.scrollWidth - innerWidth") <= 0, view
    real.go("rollouts?run=0&row=3")
    assert real.run("document.querySelector('#table').offsetParent === null")  # the group stands in the table's place
    real.click("[data-close]")
    assert real.run("document.querySelector('#table').offsetParent !== null")


def test_print(real: Page) -> None:
    real.go("rollouts?run=0&row=3")
    real.tab.media("print")
    for selector in ("nav", ".controls", ".bar-of-detail"):
        assert real.run(f"document.querySelector('{selector}').offsetParent === null"), selector
    assert real.run("document.querySelector('#detail .response').offsetParent !== null")
    real.tab.media()
    real.go("curves")
    real.tab.media("print")
    assert real.run("document.querySelector('.runs .key').offsetParent !== null")  # the key of the runs is printed, too


def test_names_for_screen_readers(real: Page) -> None:
    """Every control has a name, every table too, and headings do not skip the page's title."""
    for view in VIEWS:
        real.go(view)
        unnamed = real.run(
            "[...document.querySelectorAll('input, select, button, a')].filter((x) => x.offsetParent && "
            "!(x.labels?.length || x.ariaLabel || x.textContent.trim())).map((x) => x.outerHTML.slice(0, 80))"
        )
        assert unnamed == [], view
        assert real.run("[...document.querySelectorAll('#view table.rows')].every((x) => x.ariaLabel)"), view
        assert real.run("document.querySelector('nav [aria-current=page]').dataset.view") == view


# --- one page, a folder, a run that goes on ---------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["report.html", "report"])
def test_made_up_runs_in_both_forms(tab: Browser, tmp_path: Path, output: str) -> None:
    page = Page(tab, make_report(tmp_path, output), {})
    for view in VIEWS:
        page.go(view)
        assert page.text().strip(), view
    page.go("rollouts?run=1&q=try a different approach")
    expected = sum(
        "try a different approach" in json.loads(line)["output"]
        for file in [*tmp_path.glob("run1/rollouts/*.jsonl"), *tmp_path.glob("run1/validation/*.jsonl")]
        for line in file.read_text().splitlines()
    )
    assert found_count(page) == expected > 0
    page.quiet()


def test_a_missing_piece_is_said(tab: Browser, tmp_path: Path) -> None:
    page = Page(tab, make_report(tmp_path, "report", runs=1), {})
    shutil.rmtree(tmp_path / "report" / "data" / "gramstats")
    page.go("grams")
    assert "data/gramstats/0.js" in page.text("#message")
    page.go("configuration")
    assert not page.run("document.querySelector('#message').innerText")


@pytest.mark.parametrize("output", ["report.html", "report"])
def test_a_run_that_goes_on(tab: Browser, tmp_path: Path, output: str) -> None:
    """The page takes a newer report, and stays where it was."""
    run = make_run(tmp_path / "run", steps=3)
    dump = run / "rollouts" / "3.jsonl"
    later = dump.read_text()
    dump.unlink()
    write_report([f"a={run}"], tmp_path / output, watch=1)
    page = Page(tab, tmp_path / output, {})
    page.go("rollouts?run=0&kind=train")
    before = found_count(page)
    assert "every 1 s" in page.text("#watching")
    page.click("#watching button")
    dump.write_text(later)
    time.sleep(1.1)
    write_report([f"a={run}"], tmp_path / output, watch=1)
    time.sleep(1.5)
    assert found_count(page) == before  # paused
    page.run("document.querySelector('#watching button').click()")
    page.wait(
        f"{READY} && document.querySelector('#found')?.innerText"
        f".startsWith('{before + len(later.splitlines())} responses')"
    )
    assert page.run("location.hash") == "#rollouts?run=0&kind=train"


def test_the_demonstrations_own_run(tab: Browser, tmp_path: Path) -> None:
    run = ROOT / "runs" / "tiny"
    if not (run / "rollouts").is_dir():
        pytest.skip(f"no run of the demonstration here: {run} (make demo)")
    write_report([f"demo={run}"], tmp_path / "report.html")
    page = Page(tab, tmp_path / "report.html", {})
    for view in VIEWS:
        page.go(view)
        assert page.text().strip(), view
        assert not page.run("document.querySelector('#message').innerText"), view
    page.go("rollouts?run=0&kind=train")
    lines = sum(len(file.read_text().splitlines()) for file in (run / "rollouts").glob("*.jsonl"))
    assert found_count(page) == lines
    page.go("tokens")
    assert page.count(".tokens span") > 1
    page.quiet()


# --- what a run holds stays text --------------------------------------------------------------------------------------

HOSTILE = (
    "<script>document.title='owned'</script>",
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<a href=\"javascript:document.title='owned'\">so</a>",
    "<!-- <script>",
    "'\";document.title='owned';//",
    "${document.title='owned'}",
    "@@PIECES@@ @@SCRIPT@@ @@TITLE@@",
    "\u2028document.title='owned'\u2029",
    "__proto__",
    "constructor",
    "so <b>but wait</b> <svg onload=document.title='owned'>",
)


def hostile_report(folder: Path) -> Path:
    """Markup wherever a text of a run's may stand: names, gram texts, settings, judgements, tokens."""
    run = folder / "<img src=x onerror=document.title='owned'>"
    make_run(run, steps=2)
    rows = [
        {
            "input": text,
            "output": f"so {text} but wait",
            "gts": text,
            "score": float(n % 2),
            "step": 1,
            "uid": f"{text}_{n}_0",
            text: text,
        }
        for n, text in enumerate(HOSTILE * 2)
    ]
    (run / "rollouts" / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {f"val-core/{text}/acc/mean@1": 0.5 for text in HOSTILE}
    (run / "metrics.jsonl").write_text(json.dumps({"step": 1, "data": {**data, "critic/score/mean": 0.5}}) + "\n")
    trace = {
        "group": HOSTILE[0], "score": 1.0, "tokens": list(HOSTILE),
        "function": ["deduction", *[None] * (len(HOSTILE) - 1)],
        "entropy_nats": [0.5] * len(HOSTILE), "advantage": [1.0] * len(HOSTILE),
    }  # fmt: skip
    (run / "hicra_traces" / "1.jsonl").write_text(json.dumps(trace) + "\n")
    judged = [
        {"step": 1, "row": n, "of": "training", "rater": HOSTILE[2], "letter": text, "category": text, "answer": text}
        for n, text in enumerate(HOSTILE)
    ]
    (run / "judged.jsonl").write_text("".join(json.dumps(one) + "\n" for one in judged))
    (run / "command.txt").write_text(f'python -m x "a.b={HOSTILE[2]}" "c={HOSTILE[1]}"\n')
    grams = [{"text": "so", "function": "deduction"}, {"text": "but wait", "function": "backtracing"}]
    grams += [{"text": text, "function": "other"} for text in (HOSTILE[0], HOSTILE[2], "constructor", "__proto__")]
    (folder / "grams.json").write_text(json.dumps({"schema_version": 1, "name": "hostile", "grams": grams}))
    write_report([f"<svg onload><b>={run}"], folder / "report.html", grams=str(folder / "grams.json"), title=HOSTILE[1])
    return folder / "report.html"


def test_markup_stays_text(tab: Browser, tmp_path: Path) -> None:
    page = Page(tab, hostile_report(tmp_path), {})
    # "owned" alone: the report's own title holds the words, as text.
    made = "#view img, #view script, #view b:not([style]), #view svg[onload], [onerror]"
    owned = f"document.title === 'owned' || document.querySelector('{made}') !== null"
    places = [f"rollouts?run=0&row={row}" for row in range(len(HOSTILE))] + [
        f"prompt?prompt={n}" for n in range(len(HOSTILE))
    ]
    places += [f"grams?gram={n}" for n in range(6)] + [
        "curves?q=owned",
        "rollouts?q=constructor",
        "rollouts?q=__proto__",
        "rollouts?q=document.title",
        "tokens",
    ]
    for place in [*VIEWS, *places]:
        page.go(place)
        page.wait("[...document.querySelectorAll('.chart')].slice(0, 3).every((x) => x.data)")
        assert not page.run(owned), place
    page.go("rollouts?run=0&kind=train&step=1&all=1")
    page.click("#table tbody tr")
    assert page.run("document.querySelector('#detail .text').textContent") == HOSTILE[0]
    assert page.run("document.querySelector('#detail .response .text').textContent") == f"so {HOSTILE[0]} but wait"
    page.go("rollouts?q=constructor")
    assert found_count(page) == 2
    page.go("tokens?run=0&step=1")
    assert page.run("[...document.querySelectorAll('.tokens span')].map((x) => x.textContent)") == list(HOSTILE)
    page.quiet()  # the policy had nothing to stop: nothing was even tried


def test_the_policy_stops_what_is_not_the_pages_own(tab: Browser, tmp_path: Path) -> None:
    """Were markup to reach the page, it could not run, load or send anything."""
    page = Page(tab, make_report(tmp_path, "report.html", runs=1), {})
    page.go("curves")
    attempts = {
        "script": "const x = document.createElement('script'); x.text = 'document.title = 1'; document.body.append(x)",
        "handler": "document.querySelector('main').innerHTML += '<img src=x onerror=\"document.title = 1\">'",
        "fetch": "fetch('https://example.org/').catch(() => 0)",
        "frame": "const x = document.createElement('iframe'); x.src = 'https://example.org'; document.body.append(x)",
        "eval": "try { window.eval('document.title = \"owned\"') } catch {}",
    }
    for name, script in attempts.items():
        tab.complaints.clear()
        page.act(f"const title = document.title; {script}")
        assert page.run("document.title") not in ("owned", "1"), name
    assert "script-src" in page.run("document.querySelector('meta[http-equiv]').content")
