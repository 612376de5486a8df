// Token by token: what the policy's numbers were at each token of the responses that a run kept so.

const MEASURES = {
  function: { title: "function", legend: "planning phrases by function" },
  log_prob: { title: "log-prob", legend: "the darker, the less likely the token was (log-prob, nats)" },
  entropy_nats: { title: "entropy", legend: "the darker, the less certain the policy was (nats)" },
  probability_difference: { title: "probability difference", legend: "rollout's probability less the trainer's: blue above, orange below", both: true },
  base_advantage: { title: "base advantage", legend: "as the estimator gave it: blue reinforced, orange discouraged", both: true, scale: "advantage" },
  advantage: { title: "shaped advantage", legend: "as the actor receives it: blue reinforced, orange discouraged", both: true, scale: "advantage" },
};

const has = (trace, name) => Array.isArray(trace[name]) && trace[name].some((value) => value !== null);

// The greatest size of a measure in a trace: full colour. Base and shaped advantage share it, so that they compare.
function scaleOf(trace, name) {
  const names = MEASURES[name].scale ? Object.keys(MEASURES).filter((other) => MEASURES[other].scale === MEASURES[name].scale) : [name];
  let most = 1e-9;
  for (const one of names) for (const value of trace[one] ?? []) most = Math.max(most, Math.abs(value ?? 0));
  return most;
}

function tokenSpan(trace, place, name, scale) {
  const span = el("span", { "data-place": place }, trace.tokens[place]);
  if (name === "function") {
    const at = manifest.functions.indexOf(trace.function?.[place]);
    if (at >= 0) span.className = `f f${at}`;
    return span;
  }
  const value = trace[name][place];
  if (value === null || value === undefined) return span;
  const { both } = MEASURES[name], size = Math.min(1, Math.abs(value) / scale);
  const shade = both ? (value > 0 ? "31,119,180" : "230,120,20") : "123,44,191";
  span.style.backgroundColor = `rgba(${shade},${(0.75 * size).toFixed(2)})`;
  if (trace.function?.[place]) span.className = "planned";
  return span;
}

function tokenText(trace, name) {
  const scale = name === "function" ? 1 : scaleOf(trace, name);
  return el("div", { cls: "text tokens", "data-measure": name }, trace.tokens.map((_, place) => tokenSpan(trace, place, name, scale)));
}

// The numbers of one token, in words.
function factsOf(trace, place) {
  const facts = [
    ["token", JSON.stringify(trace.tokens[place])], ["place", `${place + 1} of ${trace.tokens.length}`],
    ["function", trace.function?.[place] ?? "execution"],
  ];
  for (const [name, { title }] of Object.entries(MEASURES)) if (name !== "function" && has(trace, name)) facts.push([title, number(trace[name][place], 4)]);
  for (const [name, value] of Object.entries(trace)) {
    if (name in MEASURES || name === "tokens" || !Array.isArray(value) || value.length !== trace.tokens.length) continue;
    facts.push([name, typeof value[place] === "number" ? number(value[place], 4) : String(value[place])]);
  }
  return facts;
}

function pointAt(root, trace, place) {
  for (const span of root.querySelectorAll(".tokens .here")) span.classList.remove("here");
  for (const span of root.querySelectorAll(`.tokens [data-place="${place}"]`)) span.classList.add("here");
  root.querySelector("#token").replaceChildren(...factsOf(trace, place).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  root.querySelector("#token").dataset.place = place;
}

function tokenChart(root, trace, names) {
  const drawn = names.filter((name) => name !== "function" && has(trace, name));
  const traces = drawn.map((name, place) => ({ y: trace[name], x: trace.tokens.map((_, at) => at + 1), name: MEASURES[name].title, type: "scatter", mode: "lines",
    line: { width: 1.2, color: colour(place), dash: DASHES[place] }, hovertemplate: "token %{x}: %{y:.4g}<extra></extra>" }));
  return traces.length ? chart("Along the response (a click goes to the token)", traces, { height: 200, clicked: ({ x }) => {
    pointAt(root, trace, x - 1);
    root.querySelector(`.tokens [data-place="${x - 1}"]`)?.scrollIntoView({ block: "center" });
  } }) : null;
}

views.tokens = {
  title: "Tokens",
  build(root) {
    root.append(
      el("div", { cls: "controls" }, runChoice(), choice("step", "step", []), choice("trace", "response", []), choice("by", "colour by", []),
        check("base", "base advantage beside it")),
      el("p", { cls: "note", id: "token-note" }),
      el("dl", { id: "token", "aria-live": "polite", "aria-label": "the token under the pointer" }), el("div", { id: "trace" }));
  },

  async show(root, params, isFresh) {
    const run = Number(params.get("run") ?? 0), steps = manifest.runs[run].traced_steps, part = (id) => root.querySelector(`#${id}`);
    setControls(root, params);
    if (!steps.length) {
      part("trace").replaceChildren();
      return part("token-note").replaceChildren(`${runName(run)} kept no response token by token (`, el("code", {}, "+algorithm.hicra.traces=8"), " keeps some).");
    }
    const step = steps.includes(Number(params.get("step") ?? NaN)) ? Number(params.get("step")) : steps.at(-1);
    const traces = await json(`tokens/${run}/${step}`);
    if (!isFresh()) return;
    const place = Math.min(Number(params.get("trace") ?? 0), traces.length - 1), trace = traces[place];
    const names = Object.keys(MEASURES).filter((one) => one === "function" || has(trace, one));
    const name = names.includes(params.get("by")) ? params.get("by") : names.at(-1);
    this.fill(root, { steps, step, traces, place, names, name });
    const base = params.get("base") && has(trace, "base_advantage");
    part("token-note").replaceChildren(MEASURES[name].legend, ". Point at a token, or move with ← and →.");
    const sides = base ? ["base_advantage", "advantage"] : [name];
    part("trace").replaceChildren(
      el("h2", {}, verdict(trace.score ?? NaN), ` step ${step}, ${plural(trace.tokens.length, "token")} `, this.rolloutLink(run, step, place)),
      tokenChart(root, trace, sides) ?? "",
      el("div", { cls: base ? "columns" : "" }, sides.map((side) => el("article", { cls: "response" },
        base ? el("h3", {}, MEASURES[side].title) : null, tokenText(trace, side)))));
    // Only when the pointer itself moves: what a key showed stays, though the text may shift under the pointer.
    part("trace").onmousemove = ({ target: { dataset } }) => {
      if (dataset.place && dataset.place !== part("token").dataset.place) pointAt(root, trace, Number(dataset.place));
    };
    part("trace").onclick = part("trace").onmousemove;
    this.move = (by) => pointAt(root, trace, Math.max(0, Math.min(trace.tokens.length - 1, Number(part("token").dataset.place ?? -1) + by)));
    pointAt(root, trace, 0);
    delete part("token").dataset.place;
  },

  fill(root, { steps, step, traces, place, names, name }) {
    const put = (key, options, value) => {
      const select = root.querySelector(`[data-key=${key}]`);
      select.replaceChildren(...options.map(([one, text]) => el("option", { value: one, selected: String(one) === String(value) }, text)));
    };
    put("step", steps.map((one) => [one, `step ${one}`]), step);
    put("trace", traces.map(({ score, tokens }, at) => [at, `${at + 1}: ${score === null ? "?" : isRight(score) ? "✓" : "✗"} ${tokens.length} tokens`]), place);
    put("by", names.map((one) => [one, MEASURES[one].title]), name);
  },

  rolloutLink(run, step, place) {
    return el("button", { type: "button", onclick: async () => {
      const rows = rowsOf(run);
      for (const { first, count } of sectionsOf(run, step, "train")) {
        await rows.need(first, count);
        for (let row = first; row < first + count; row++) if (rows.trace[row] === place) return go("rollouts", { run, step, row });
      }
      say("This response is not among the dumped rollouts of its step.");
    } }, "its group");
  },
};
