// Errors: what judges called the faults of wrong responses, in their own words.

const PAGE_ERRORS = 20;
const ERROR_NAMES = { D: "acceptable after all", "?": "no letter" };
const errorName = ({ category, letter }) => category || ERROR_NAMES[letter] || letter || "no letter";
const TEXTURES = ["", "/", ".", "x", "-", "+"]; // of bars: colours alone tell nothing to some

// The counts of all failures that a judge's sample stands for, with their intervals; or, without them, the judged ones.
function errorChart(run, rater, list) {
  const counts = manifest.runs[run].judges?.[rater];
  if (!counts?.length || !counts[0].estimated) return judgedChart(list);
  const steps = counts.map(({ step }) => step), names = Object.keys(counts[0].estimated);
  const traces = names.map((name, place) => {
    const at = counts.map(({ estimated }) => estimated[name] ?? [null, null, null]);
    return {
      x: steps, y: at.map(([value]) => value), name: plain(name), type: "scatter", mode: "lines+markers",
      line: { width: 2, color: colour(place), dash: DASHES[place] },
      marker: { symbol: SYMBOLS[place], size: 7 }, hovertemplate: `step %{x}: %{y:.0f}<extra>${plain(name)}</extra>`,
      error_y: {
        type: "data", symmetric: false, thickness: 1,
        array: at.map(([value, , high]) => high - value), arrayminus: at.map(([value, low]) => value - low),
      },
    };
  });
  const all = counts.map(({ failures }) => failures), line = { dash: "dot", color: "rgb(128,140,150)" };
  traces.push({ x: steps, y: all, name: "all failures", type: "scatter", mode: "lines", line });
  const title = "Failures by type: estimated from the judged ones, with 95% intervals";
  return chart(title, traces, { unit: "responses", height: 300, clicked: openJudged, layout: { yaxis: { rangemode: "tozero" } } });
}

const openJudged = ({ x }) => change({ step: x, page: null });

function judgedChart(list) {
  const steps = [...new Set(list.map(({ step }) => step))].sort((a, b) => a - b), names = [...new Set(list.map(errorName))].sort();
  const count = (step, name) => list.filter((one) => one.step === step && errorName(one) === name).length;
  const traces = names.map((name, place) => ({
    x: steps, y: steps.map((step) => count(step, name)), type: "bar", name: plain(name),
    marker: { color: colour(place), pattern: { shape: TEXTURES[place % TEXTURES.length] } },
    hovertemplate: `step %{x}: %{y}<extra>${plain(name)}</extra>`,
  }));
  const title = "Judged failures by type (a sample: their number says nothing of all failures)";
  return chart(title, traces, { height: 300, clicked: openJudged, layout: { barmode: "stack", xaxis: { type: "category" } } });
}

async function errorBox(run, one) {
  const head = el("h3", {}, `${errorName(one)}${one.letter ? ` (${one.letter})` : ""} · step ${one.step ?? "unknown"} · ${one.rater ?? ""} `);
  const words = one.sentences ? el("blockquote", { cls: "text" }, one.sentences) : el("p", { cls: "note" }, "The judge's words were not kept.");
  if (one.row === null || one.row === undefined) return el("article", { cls: "response" }, head, words);
  await rowsOf(run).need(one.row, 1);
  const [problem, response] = await Promise.all([promptText(rowsOf(run).prompt[one.row]), responseOf(run, one.row)]);
  head.append(link("rollouts", { run, step: sectionOf(run, one.row).step, row: one.row }, "its group"));
  return el("article", { cls: "response" }, head, words, el("details", {}, el("summary", {}, oneLine(promptTail(problem))),
    el("h4", {}, "Problem"), el("div", { cls: "text" }, problem), el("h4", {}, "Response"), el("div", { cls: "text" }, markedText(response.t, gramLayers(response))),
    response.x?.gts ? [el("h4", {}, "Expected"), el("div", { cls: "text" }, String(response.x.gts))] : null));
}

// Another choice for each value that the list has.
function errorChoices(root, key, values, first) {
  const select = root.querySelector(`[data-key=${key}]`), sorted = [...new Set(values)].sort((a, b) => (a < b ? -1 : 1));
  select.replaceChildren(...(first === null ? [] : [el("option", { value: "" }, first)]), ...sorted.map((value) => el("option", { value }, String(value))));
}

views.errors = {
  title: "Errors",
  build(root) {
    root.append(el("div", { cls: "controls" }, runChoice(), choice("rater", "judge", []), choice("category", "type", []), choice("step", "step", []),
      field("q", "in the judge's words", { type: "search", "data-search": true })),
      el("p", { cls: "note", id: "errors-said", role: "status" }), el("div", { id: "errors" }));
  },

  async show(root, params, isFresh) {
    const run = Number(params.get("run") ?? 0), box = root.querySelector("#errors"), said = root.querySelector("#errors-said");
    if (!manifest.runs[run].judged) {
      box.replaceChildren();
      return said.replaceChildren(`No errors of ${runName(run)} were judged (`, el("code", {}, "hicra errors"), " does that; then write this report again).");
    }
    const list = await json(`errors/${run}`);
    if (!isFresh()) return;
    const raters = [...new Set(list.map(({ rater }) => rater ?? ""))].sort();
    const rater = raters.includes(params.get("rater")) ? params.get("rater") : raters[0];
    const mine = list.filter((one) => (one.rater ?? "") === rater), wanted = (params.get("q") ?? "").toLowerCase();
    errorChoices(root, "rater", raters, null);
    errorChoices(root, "category", mine.map(errorName), "all types");
    errorChoices(root, "step", mine.map(({ step }) => step), "all steps");
    setControls(root, params);
    const isAsked = (key, value) => !params.get(key) || String(value) === params.get(key);
    const found = mine.filter((one) => isAsked("category", errorName(one)) && isAsked("step", one.step) && one.sentences.toLowerCase().includes(wanted));
    const page = Number(params.get("page") ?? 0), shown = found.slice(page * PAGE_ERRORS, (page + 1) * PAGE_ERRORS);
    const boxes = await Promise.all(shown.map((one) => errorBox(run, one)));
    if (!isFresh()) return;
    said.textContent = `${plural(found.length, "judged error")} of ${number(mine.length)} by ${rater || "the judge"}.`;
    box.replaceChildren(errorChart(run, rater, mine), ...boxes, pager(page, Math.ceil(found.length / PAGE_ERRORS)) ?? "");
  },
};
