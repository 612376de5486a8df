// Configuration: what two runs were given differently; and the gaps: what a run lacks.

const asText = (value) => (value === undefined || value === null || value === "" ? "–" : typeof value === "string" ? value : JSON.stringify(value));

// One line a setting: what each run was given.
function settingLines(all) {
  const lines = new Map();
  const put = (name, run, value) => lines.set(name, Object.assign(lines.get(name) ?? [], { [run]: value }));
  all.forEach((one, run) => {
    put("gram set of this report", run, `${one.grams.name} (sha256 ${one.grams.sha256.slice(0, 12)})`);
    put("gram set of the run", run, one.grams.run ? `sha256 ${one.grams.run.slice(0, 12)}` : null);
    put("git", run, one.git);
    for (const [name, value] of Object.entries(one.versions ?? {})) put(`version of ${name}`, run, value);
    for (const [name, value] of Object.entries(one.settings ?? {})) put(name, run, value);
  });
  return [...lines];
}

views.configuration = {
  title: "Configuration",
  build(root) {
    root.append(el("div", { cls: "controls" }, field("q", "find a setting", { type: "search", "data-search": true }), check("all", "also what all runs share")),
      el("p", { cls: "note", id: "settings-said", role: "status" }), el("div", { id: "settings" }), el("h2", {}, "Commands"), el("div", { id: "commands" }));
  },
  async show(root, params, isFresh) {
    const all = await json("configuration");
    if (!isFresh()) return;
    const runs = [...all.keys()], wanted = (params.get("q") ?? "").toLowerCase(), lines = settingLines(all);
    const differs = ([, values]) => new Set(runs.map((run) => asText(values[run]))).size > 1;
    const different = lines.filter(differs).length, everything = params.get("all") || runs.length < 2;
    const shown = lines.filter((line) => (everything || differs(line)) && `${line[0]} ${line[1].map(asText).join(" ")}`.toLowerCase().includes(wanted));
    const settings = plural(lines.length, "setting");
    root.querySelector("#settings-said").textContent = runs.length < 2 ? settings : `${number(different)} of ${settings} differ between the runs.`;
    root.querySelector("#settings").replaceChildren(shown.length ? table({ label: "settings", rows: shown, columns: [
      { title: "setting", cell: ([name]) => el("code", {}, name) },
      { title: "", cell: (line) => (runs.length > 1 && differs(line) ? el("span", { cls: "flag", title: "differs" }, "≠") : "") },
      ...runs.map((run) => ({ title: runName(run), cell: ([, values]) => el("code", {}, asText(values[run])) })),
    ] }) : "");
    root.querySelector("#commands").replaceChildren(...all.map(({ command }, run) => el("details", { open: all.length === 1 },
      el("summary", {}, runName(run)), el("pre", {}, command || "not recorded with this run"))));
  },
};

views.gaps = {
  title: "Gaps",
  build: (root) => root.append(el("p", { cls: "note" }, "What a run lacks, and which view is therefore empty; and what was found missing or "
    + "broken while it was read."), el("div", { id: "gaps" })),
  show(root) {
    root.querySelector("#gaps").replaceChildren(...manifest.runs.map((run) => el("section", {}, el("h2", {}, run.name), el("p", {}, this.holdings(run)),
      ...this.list("It lacks", run.lacks), ...this.list("Gaps", run.gaps))));
  },
  holdings({ path, rows, sections, traced_steps: traced, judged }) {
    const steps = new Set(sections.map(({ step }) => step)).size;
    return `From ${path}: ${plural(rows, "response")} at ${plural(steps, "step")}, ${plural(traced.length, "step")} with traces, ${plural(judged, "judged error")}.`;
  },
  list(title, sentences) {
    const items = sentences.map((sentence) => el("li", {}, sentence));
    return [el("h3", {}, title), items.length ? el("ul", {}, items) : el("p", { cls: "note" }, "nothing")];
  },
};
