// Errors: what a judge called the faults of wrong responses, with its sentences.

const PAGE_ERRORS = 20;

function errorChart(list) {
  const steps = [...new Set(list.map(({ step }) => step))].sort((a, b) => a - b), names = [...new Set(list.map(({ category }) => category))].sort();
  const traces = names.map((name, place) => ({ x: steps, type: "bar", name: plain(name), category: name, marker: { color: colour(place), pattern: { shape: ["", "/", ".", "x", "-", "+"][place % 6] } },
    y: steps.map((step) => list.filter((one) => one.step === step && one.category === name).length), hovertemplate: `step %{x}: %{y}<extra>${plain(name)}</extra>` }));
  return chart("Judged errors by step", traces, { height: 260, layout: { barmode: "stack", xaxis: { type: "category" } }, clicked: ({ x, data }) => change({ step: x, category: data.category, page: null }) });
}

function errorBox(run, one) {
  const more = Object.entries(one).filter(([name, value]) => !["step", "row", "problem", "response", "reference", "letter", "category", "sentences"].includes(name) && value !== null && value !== "");
  const sentences = Array.isArray(one.sentences) ? one.sentences.join(" ") : one.sentences;
  return el("article", { cls: "response" },
    el("h3", {}, `${one.category}${one.letter ? ` (${one.letter})` : ""} · step ${one.step} `, Number.isInteger(one.row) ? link("rollouts", { run, step: one.step, row: one.row }, "its group") : null),
    sentences ? el("blockquote", {}, sentences) : el("p", { cls: "note" }, "The judge's words were not kept."),
    el("details", {}, el("summary", {}, oneLine(promptTail(one.problem ?? ""))), el("h4", {}, "Problem"), el("div", { cls: "text" }, one.problem ?? ""),
      el("h4", {}, "Response"), el("div", { cls: "text" }, one.response ?? ""), one.reference ? [el("h4", {}, "Reference"), el("div", { cls: "text" }, one.reference)] : null,
      more.length ? el("dl", {}, more.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, typeof value === "string" ? value : JSON.stringify(value))])) : null));
}

views.errors = {
  title: "Errors",
  build(root) {
    root.append(el("div", { cls: "controls" }, runChoice(), choice("category", "type", []), choice("step", "step", []), field("q", "search", { type: "search", "data-search": true })),
      el("p", { cls: "note", id: "errors-said", role: "status" }), el("div", { id: "errors" }));
  },

  async show(root, params, isFresh) {
    const run = Number(params.get("run") ?? 0), box = root.querySelector("#errors"), said = root.querySelector("#errors-said");
    if (!manifest.runs[run].judged) {
      box.replaceChildren();
      return said.replaceChildren(`No errors of ${runName(run)} were judged (`, el("code", {}, "hicra errors"), " does that, then write this report again).");
    }
    const list = await json(`errors/${run}`);
    if (!isFresh()) return;
    const options = (key, any) => {
      const select = root.querySelector(`[data-key=${key}]`), values = [...new Set(list.map((one) => one[key]))].sort((a, b) => (a < b ? -1 : 1));
      select.replaceChildren(el("option", { value: "" }, any), ...values.map((value) => el("option", { value }, String(value))));
    };
    options("category", "all types");
    options("step", "all steps");
    setControls(root, params);
    const wanted = (params.get("q") ?? "").toLowerCase(), fits = (one) => (!params.get("category") || one.category === params.get("category")) && (!params.get("step") || String(one.step) === params.get("step")) &&
      (!wanted || `${one.problem} ${one.response} ${one.sentences}`.toLowerCase().includes(wanted));
    const found = list.filter(fits), page = Number(params.get("page") ?? 0);
    said.textContent = `${plural(found.length, "judged error")} of ${number(list.length)}.`;
    box.replaceChildren(errorChart(list), ...found.slice(page * PAGE_ERRORS, (page + 1) * PAGE_ERRORS).map((one) => errorBox(run, one)), pager(page, Math.ceil(found.length / PAGE_ERRORS)) ?? "");
  },
};
