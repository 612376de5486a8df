// Curves: every measure of every run, seeds as bands; a click on a step opens its rollouts.

const FIRST_CHARTS = 60; // no report is read further; a search finds the rest

// An exponential mean whose first values are no nearer to zero than the others.
function smoothed(values, weight) {
  if (!weight) return values;
  let sum = 0, mass = 0;
  return values.map((value) => {
    sum = weight * sum + (1 - weight) * value;
    mass = weight * mass + (1 - weight);
    return sum / mass;
  });
}

// Seeds of one label laid over each other: at each step the mean, the least and the greatest.
function spread(lines) {
  const at = new Map();
  for (const [steps, values] of lines) steps.forEach((step, place) => at.set(step, [...(at.get(step) ?? []), values[place]]));
  const steps = [...at.keys()].sort((a, b) => a - b), seen = steps.map((step) => at.get(step));
  const mean = seen.map((some) => some.reduce((sum, value) => sum + value, 0) / some.length);
  return { steps, mean, low: seen.map((some) => Math.min(...some)), high: seen.map((some) => Math.max(...some)) };
}

// The runs that are shown, as [label, [run numbers]]: one entry a label where seeds make a band, else one a run.
function families(params) {
  const chosen = chosenRuns(params), byLabel = new Map();
  for (const run of chosen) {
    const key = params.get("each") ? runName(run) : manifest.runs[run].label;
    byLabel.set(key, [...(byLabel.get(key) ?? []), run]);
  }
  return [...byLabel];
}

function chosenRuns(params) {
  const all = manifest.runs.map((_, run) => run);
  if (!params.get("runs")) return all;
  const wanted = params.get("runs").split(",").map(Number);
  return all.filter((run) => wanted.includes(run));
}

const fixedColour = (name) => manifest.fixed?.[name] && (isDark() ? mixed(manifest.fixed[name], 0.45) : manifest.fixed[name]);

// One line of one family of runs: its mean, and a band where it has seeds. With several families a colour is a family and
// a dash is a line (the key of families stands above all charts); with one, a colour is a line.
function lineTraces(series, run, { family, line, name, several, many, weight }) {
  const { steps, mean, low, high } = spread(series), shade = (!several && fixedColour(name)) || colour(several ? family : line);
  const common = { x: steps, type: "scatter", legendgroup: line, hoverinfo: "skip", showlegend: false }, traces = [];
  if (series.length > 1) {
    traces.push({ ...common, y: smoothed(high, weight), mode: "lines", line: { width: 0 } });
    traces.push({ ...common, y: smoothed(low, weight), mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: faint(shade, 0.2) });
  }
  if (weight) traces.push({ ...common, y: mean, mode: "lines", line: { width: 1, color: faint(shade, 0.3) } });
  const label = several ? `${manifest.runs[run].label}${many ? `: ${name}` : ""}` : name;
  traces.push({
    ...common, y: smoothed(mean, weight), mode: "lines+markers", name: plain(name), run, showlegend: many && !several, hoverinfo: null,
    line: { width: 2, color: shade, dash: DASHES[(several ? line : 0) % DASHES.length] },
    marker: { size: steps.length > 40 ? 4 : 6, symbol: SYMBOLS[(several ? family : line) % SYMBOLS.length] },
    hovertemplate: `step %{x}: %{y:.4g}<extra>${plain(label)}</extra>`,
  });
  return traces;
}

function curveTraces(curves, lines, params) {
  const found = families(params), several = found.length > 1, traces = [];
  const shown = lines.filter(([metric]) => found.some(([, runs]) => runs.some((run) => curves[run]?.[metric]?.[0].length)));
  shown.forEach(([metric, name], line) => {
    found.forEach(([, runs], family) => {
      const series = runs.map((run) => curves[run]?.[metric]).filter((one) => one?.[0].length);
      const how = { family, line, name, several, many: shown.length > 1, weight: Number(params.get("smooth") ?? 0) };
      if (series.length) traces.push(...lineTraces(series, runs[0], how));
    });
    if (several && shown.length > 1) {
      traces.push({ x: [null], y: [null], mode: "lines", name: plain(name), legendgroup: line, line: { width: 2, color: "rgb(128,140,150)", dash: DASHES[line % DASHES.length] } });
    }
  });
  return traces;
}

// The step's rollouts; where a run dumped none at it, those of the nearest step that has some.
function openStep(run, step) {
  const { sections } = manifest.runs[run];
  if (!sections.length) return say(`${runName(run)} has no rollouts: only its curves are here.`);
  const near = sections.reduce((best, section) => (Math.abs(section.step - step) < Math.abs(best.step - step) ? section : best));
  if (near.step !== step) parting = `No rollouts were dumped at step ${step}; these are of step ${near.step}, the nearest.`;
  go("rollouts", { run, step: near.step });
}

function chartList(curves, params) {
  const wanted = (params.get("q") ?? "").toLowerCase();
  if (params.get("chart")) return manifest.charts.filter(({ title }) => title === params.get("chart"));
  const charts = manifest.charts.filter(({ title, lines }) => `${title} ${lines.flat().join(" ")}`.toLowerCase().includes(wanted));
  if (!wanted) return charts;
  const drawnOnes = new Set(charts.flatMap(({ lines }) => lines.map(([metric]) => metric)));
  const names = [...new Set(Object.values(curves).flatMap(Object.keys))].sort();
  const others = names.filter((metric) => !drawnOnes.has(metric) && `${metric} ${manifest.titles[metric] ?? ""}`.toLowerCase().includes(wanted));
  return [...charts, ...others.map((metric) => ({ title: metric, unit: "", lines: [[metric, manifest.titles[metric] ?? metric]] }))];
}

views.curves = {
  title: "Curves",
  build(root) {
    const runs = el("fieldset", { cls: "runs" }, el("legend", {}, "runs"), manifest.runs.map((run, place) => {
      const box = el("input", { type: "checkbox", value: place, onchange: () => {
        const on = [...runs.querySelectorAll("input:checked")].map((input) => input.value);
        change({ runs: on.length === manifest.runs.length ? null : on.join(",") || "none" });
      } });
      return el("label", { cls: "check" }, box, " ", el("span", { cls: "key", "aria-hidden": "true" }), ` ${run.name}`);
    }));
    const step = el("input", { type: "number", min: 0, "aria-label": "step" }), run = el("select", { "aria-label": "run" },
      manifest.runs.map(({ name }, place) => el("option", { value: place }, name)));
    const opener = el("form", { cls: "opener", onsubmit: (event) => {
      event.preventDefault();
      if (step.value) openStep(Number(run.value), Number(step.value));
    } }, "rollouts of step ", step, " of ", run, " ", el("button", {}, "open"));
    root.append(
      el("p", { cls: "note" }, "Hover for values. A click on a point opens the rollouts of its step. A click on a name in a legend hides its line."),
      el("div", { cls: "controls" },
        field("q", "find a measure", { type: "search", "data-search": true, placeholder: "entropy, length, val-core…" }),
        control("smooth", "smoothing", el("input", { type: "range", min: 0, max: 0.95, step: 0.05 })),
        manifest.runs.some(({ seed }) => seed) ? check("each", "each seed by itself") : null, opener),
      manifest.runs.length > 1 ? runs : "", el("p", { cls: "note", id: "curves-said", role: "status" }), el("div", { cls: "charts" }));
  },
  async show(root, params, isFresh) {
    const curves = await json("curves");
    if (!isFresh()) return;
    const chosen = chosenRuns(params), one = params.get("chart");
    const shades = families(params);
    for (const box of root.querySelectorAll(".runs input")) {
      const run = Number(box.value), family = shades.findIndex(([, runs]) => runs.includes(run)), key = box.parentNode.querySelector(".key");
      box.checked = chosen.includes(run);
      key.textContent = box.checked ? GLYPHS[family % GLYPHS.length] : "";
      key.style.color = box.checked ? colour(family) : "";
    }
    root.querySelector("[data-key=smooth]").value = params.get("smooth") ?? 0;
    const found = chartList(curves, params).map((entry) => ({ ...entry, traces: curveTraces(curves, entry.lines, params) }))
      .filter(({ traces }) => traces.length);
    root.querySelector("#curves-said").textContent = found.length ? "" : "No measure of that name was logged.";
    root.querySelector(".charts").classList.toggle("one", Boolean(one));
    root.querySelector(".charts").replaceChildren(...found.slice(0, FIRST_CHARTS).map(({ title, unit, traces }) => el("figure", {},
      chart(title, traces, { unit, height: one ? 520 : 270, clicked: ({ data, x }) => data.run !== undefined && openStep(data.run, x) }),
      el("button", { type: "button", cls: "enlarge", title: one ? "all charts" : "this chart alone",
        onclick: () => change({ chart: one ? null : title }) }, one ? "← all charts" : "⤢", el("span", { cls: "hidden" }, ` ${title}`)))));
    await chartsInSight(root);
  },
};
