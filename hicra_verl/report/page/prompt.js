// Prompts: which of them training changed, and one prompt across steps and runs, two responses of it side by side.

const PAGE_PROMPTS = 50;

// Of each prompt in a run: at its first and at its last step, how many of its responses were right, and of how many.
const accountsKept = new Map();
async function promptAccounts(run, kind) {
  const key = `${run}/${kind}`;
  if (accountsKept.has(key)) return accountsKept.get(key);
  const rows = rowsOf(run), zeros = () => new Uint32Array(manifest.prompts);
  const account = { at: new Int32Array(manifest.prompts).fill(-1) };
  for (const name of ["steps", "right", "of", "firstRight", "firstOf", "lastRight", "lastOf"]) account[name] = zeros();
  const sections = sectionsOf(run, null, kind);
  await Promise.all(sections.map(({ first, count }) => rows.need(first, count)));
  for (const [place, { first, count }] of sections.entries()) {
    for (let row = first; row < first + count; row++) {
      if (Number.isNaN(rows.score[row])) continue;
      const prompt = rows.prompt[row], right = Number(rows.score[row] > 0);
      if (account.at[prompt] !== place) {
        account.at[prompt] = place;
        account.steps[prompt]++;
        account.lastRight[prompt] = account.lastOf[prompt] = 0;
      }
      account.right[prompt] += right;
      account.of[prompt]++;
      account.lastRight[prompt] += right;
      account.lastOf[prompt]++;
      if (account.steps[prompt] === 1) {
        account.firstRight[prompt] += right;
        account.firstOf[prompt]++;
      }
    }
  }
  accountsKept.set(key, account);
  return account;
}

const shareOf = (right, of) => (prompt) => (of[prompt] ? right[prompt] / of[prompt] : NaN);
const outOf = (right, of) => (prompt) => (of[prompt] ? `${right[prompt]} of ${of[prompt]}` : "–");

async function promptTable(run, other, params) {
  const kind = params.get("kind") || null, mine = await promptAccounts(run, kind), theirs = other === null ? null : await promptAccounts(other, kind);
  const first = shareOf(mine.firstRight, mine.firstOf), last = shareOf(mine.lastRight, mine.lastOf), all = shareOf(mine.right, mine.of);
  const change = (prompt) => (mine.steps[prompt] > 1 ? last(prompt) - first(prompt) : NaN);
  const keys = { prompt: (prompt) => prompt, steps: (prompt) => mine.steps[prompt], first, last, change, all };
  if (theirs) {
    keys.other = shareOf(theirs.right, theirs.of);
    keys.difference = (prompt) => all(prompt) - keys.other(prompt);
  }
  const order = params.get("sort") || (theirs ? "-difference" : "-change"), key = order.replace(/^-/, ""), sign = order.startsWith("-") ? -1 : 1;
  const value = keys[key] ?? keys.change, least = Number(params.get("steps") || 1);
  const listed = [];
  for (let prompt = 0; prompt < manifest.prompts; prompt++) if (mine.steps[prompt] >= least) listed.push(prompt);
  const rank = (prompt) => (Number.isNaN(value(prompt)) ? Infinity : sign * value(prompt));
  const seen = (prompt) => mine.of[prompt] + (theirs?.of[prompt] ?? 0); // of two that are level, the one that more is known of
  listed.sort((a, b) => rank(a) - rank(b) || seen(b) - seen(a) || a - b);
  const page = Number(params.get("page") ?? 0), shown = listed.slice(page * PAGE_PROMPTS, (page + 1) * PAGE_PROMPTS);
  const texts = new Map(await Promise.all(shown.map(async (prompt) => [prompt, oneLine(promptTail(await promptText(prompt)))])));
  const columns = [
    { title: "number", key: "prompt", cls: "n", cell: (prompt) => prompt },
    { title: "steps", key: "steps", cls: "n", hint: "at how many steps it came", cell: (prompt) => mine.steps[prompt] },
    { title: "first", key: "first", cls: "n", hint: "right at its first step", cell: outOf(mine.firstRight, mine.firstOf) },
    { title: "last", key: "last", cls: "n", hint: "right at its last step", cell: outOf(mine.lastRight, mine.lastOf) },
    { title: "change", key: "change", cls: "n", cell: (prompt) => signed(change(prompt), percent) },
    theirs ? { title: `all of ${runName(run)}`, key: "all", cls: "n", cell: outOf(mine.right, mine.of) } : null,
    theirs ? { title: `all of ${runName(other)}`, key: "other", cls: "n", cell: outOf(theirs.right, theirs.of) } : null,
    theirs ? { title: "difference", key: "difference", cls: "n", cell: (prompt) => signed(keys.difference(prompt), percent) } : null,
    { title: "prompt", cls: "grow", cell: (prompt) => texts.get(prompt) },
  ].filter(Boolean);
  return [
    el("p", { class: "note" }, `${plural(listed.length, "prompt")} with scores. Sort by a column's title; open one to see its responses.`),
    table({ label: "prompts", columns, rows: shown, sort: order, open: openPrompt }), pager(page, Math.ceil(listed.length / PAGE_PROMPTS)),
  ];
}
const openPrompt = (prompt) => change({ prompt, a: null, b: null });

// Every run's responses to a prompt: [{run, section, rows}], in the order of runs and steps.
async function occurrences(prompt, kind) {
  const found = [];
  for (const run of manifest.runs.keys()) {
    if (!manifest.runs[run].rows) continue;
    const rows = await rowsOf(run).all();
    for (const section of sectionsOf(run, null, kind)) {
      const here = [];
      for (let row = section.first; row < section.first + section.count; row++) if (rows.prompt[row] === prompt) here.push(row);
      if (here.length) found.push({ run, section, rows: here });
    }
  }
  return found;
}

function occurrenceTable(found, a, b) {
  const button = (side, { run, rows }, chosen) => {
    const is = chosen.run === run && rows.includes(chosen.row);
    return el("button", { type: "button", "aria-pressed": is ? "true" : "false", onclick: () => change({ [side]: `${run}:${rows[0]}` }) }, side.toUpperCase());
  };
  const mean = ({ run, rows }, value) => rows.reduce((sum, row) => sum + value(rowsOf(run), row), 0) / rows.length;
  return table({
    label: "this prompt at each step", rows: found,
    columns: [
      { title: "run", cell: ({ run }) => runName(run) },
      { title: "step", cls: "n", cell: ({ run, section, rows }) => link("rollouts", { run, step: section.step, row: rows[0] }, section.step) },
      { title: "set", cls: "wide", cell: ({ section }) => KINDS[section.kind] },
      { title: "right", cls: "n", cell: ({ run, rows }) => `${rows.filter((row) => isRight(rowsOf(run).score[row])).length} of ${rows.length}` },
      { title: "length", cls: "n", cell: (one) => number(mean(one, lengthOf), 0) },
      { title: "planning", cls: "n", cell: (one) => percent(mean(one, ({ planning }, row) => planning[row])) },
      { title: "compare", cell: (one) => el("span", { cls: "pair" }, button("a", one, a), " ", button("b", one, b)) },
    ],
  });
}

function promptChart(found) {
  const runs = [...new Set(found.map(({ run }) => run))];
  const traces = runs.map((run, place) => {
    const mine = found.filter((one) => one.run === run), share = ({ rows }) => rows.filter((row) => isRight(rowsOf(run).score[row])).length / rows.length;
    return {
      x: mine.map(({ section }) => section.step), y: mine.map(share), name: plain(runName(run)), type: "scatter", mode: "lines+markers", run,
      line: { color: colour(place), width: 2, dash: DASHES[place % DASHES.length] }, marker: { symbol: SYMBOLS[place % SYMBOLS.length], size: 7 },
      hovertemplate: `step %{x}: %{y:.0%}<extra>${plain(runName(run))}</extra>`,
    };
  });
  return chart("Right, of this prompt's responses", traces, { height: 220, layout: { yaxis: { range: [-0.05, 1.05], tickformat: ".0%" } } });
}

// The other responses at the same step, to choose one of them in its place.
function sideHead(side, { run, row }, found) {
  const here = found.find((one) => one.run === run && one.rows.includes(row)), rows = rowsOf(run);
  const options = here.rows.map((other, place) => el("option", { value: other, selected: other === row }, `response ${place + 1}: `
    + `${isRight(rows.score[other]) ? "✓" : "✗"} ${number(rows.score[other])}, ${number(lengthOf(rows, other))} ${lengthUnit(rows)}`));
  const pick = el("select", { "aria-label": `response ${side.toUpperCase()}`, onchange: () => change({ [side]: `${run}:${pick.value}` }) }, options);
  return el("h3", {}, `${side.toUpperCase()}: ${runName(run)}, step ${here.section.step} `, pick);
}

async function comparison(a, b, found) {
  const [left, right] = await Promise.all([a, b].map(({ run, row }) => responseOf(run, row)));
  const changed = wordDiff(left.t, right.t), layer = (spans, cls, title) => spans.map(([start, end]) => [start, end, cls, title]);
  const legend = left.t === right.t ? ["A and B are the same text."]
    : ["What only A has is ", el("mark", { cls: "gone" }, "struck out"), "; what only B has is ", el("mark", { cls: "new" }, "underlined"), "."];
  const side = (name, one, text, layers) => el("article", { cls: "response" }, sideHead(name, one, found), el("div", { cls: "text" }, markedText(text, layers)));
  return [
    el("p", { cls: "note", id: "diffed" }, legend, changed.whole ? "" : " They differ so much that only their beginnings and ends were compared."),
    el("div", { cls: "columns" },
      side("a", a, left.t, layer(changed.a, "gone", "only in A")), side("b", b, right.t, layer(changed.b, "new", "only in B"))),
  ];
}

async function onePrompt(prompt, params) {
  const found = await occurrences(prompt, params.get("kind") || null);
  if (!found.length) return [el("p", {}, "No run has a response to this prompt here.")];
  const run = Number(params.get("run") ?? found[0].run), other = params.get("other") ? Number(params.get("other")) : run;
  const chosen = (side, otherwise) => {
    const [of, row] = (params.get(side) ?? "").split(":").map(Number);
    return found.some((one) => one.run === of && one.rows.includes(row)) ? { run: of, row } : otherwise;
  };
  // Of one run: its first step beside its last one; of two: the last steps of both.
  const mine = found.filter((one) => one.run === run), theirs = found.filter((one) => one.run === other);
  const start = (other === run ? mine[0] : mine.at(-1)) ?? found[0];
  const a = chosen("a", { run: start.run, row: start.rows[0] }), end = theirs.at(-1) ?? found.at(-1);
  const last = end.rows.find((row) => isRight(rowsOf(end.run).score[row]) && !(end.run === a.run && row === a.row)) ?? end.rows.at(-1);
  const b = chosen("b", { run: end.run, row: last });
  return [
    el("p", {}, el("button", { type: "button", "data-close": true, onclick: () => change({ prompt: null, a: null, b: null }) }, "← all prompts")),
    el("h2", {}, `Prompt ${prompt}`), el("div", { cls: "prompt text" }, await promptText(prompt)),
    el("div", { cls: "columns" }, occurrenceTable(found, a, b), promptChart(found)), ...(await comparison(a, b, found)),
  ];
}

views.prompt = {
  title: "Prompts",
  build(root) {
    root.append(el("div", { cls: "controls" }, runChoice(), runChoice("other", "against", [["", "no other run"]]),
      choice("kind", "set", [["", "both"], ["train", "training"], ["validation", "held-out"]]),
      field("steps", "seen at steps, at least", { type: "number", min: 1 })), el("div", { id: "prompts" }));
  },
  async show(root, params, isFresh) {
    const box = root.querySelector("#prompts"), run = Number(params.get("run") ?? 0), other = params.get("other") ? Number(params.get("other")) : null;
    if (!manifest.runs[run]?.rows) return box.replaceChildren(`${runName(run)} has no rollouts.`);
    const nodes = params.get("prompt") ? await onePrompt(Number(params.get("prompt")), params) : await promptTable(run, other, params);
    if (isFresh()) box.replaceChildren(...nodes.filter(Boolean));
  },
};
