// Rollouts: every response as a row of a table, with search, filters and sort; a row opens its whole group.

const PAGE_ROWS = 50;
const SHOW_MS = 1000; // of a long search: what is found so far is shown so often
const KINDS = { train: "training", validation: "held-out" };
const SORTS = {
  score: (rows) => rows.score, length: (rows) => lengths(rows), advantage: (rows) => rows.advantage,
  planning: (rows) => rows.planning, grams: (rows) => rows.grams, turns: (rows) => rows.turns,
};

// Tokens where the run says how many each training response has (-1 of a held-out one: unknown), else characters.
const inTokens = (rows) => manifest.runs[rows.number].in_tokens;
const lengths = (rows) => (inTokens(rows) ? rows.tokens : rows.characters);
const lengthOf = (rows, row) => (lengths(rows)[row] < 0 ? NaN : lengths(rows)[row]);
const lengthUnit = (rows) => (inTokens(rows) ? "tokens" : "characters");

// One test a filter of the address: f(rows, row) says whether the row stays.
const FILTERS = {
  right: (value) => ({ score }, row) => (score[row] > 0) === (value === "1") && !Number.isNaN(score[row]),
  clipped: (value) => ({ clipped }, row) => clipped[row] === Number(value),
  noplan: () => ({ grams }, row) => grams[row] === 0,
  fn: (value) => ({ functions }, row) => (functions[row] >> Number(value)) & 1,
  min: (value) => (rows, row) => lengths(rows)[row] >= Number(value),
  max: (value) => (rows, row) => lengths(rows)[row] >= 0 && lengths(rows)[row] <= Number(value),
  turns: (value) => ({ turns }, row) => turns[row] >= Number(value),
  prompt: (value) => ({ prompt }, row) => prompt[row] === Number(value),
  traced: () => ({ trace }, row) => trace[row] >= 0,
};

// Of each group of a section: whether its scores differ, so that it teaches anything.
function signalOf(rows, { first, count }) {
  const low = new Float32Array(count).fill(Infinity), high = new Float32Array(count).fill(-Infinity);
  for (let row = first; row < first + count; row++) {
    const group = rows.group[row];
    low[group] = Math.min(low[group], rows.score[row]);
    high[group] = Math.max(high[group], rows.score[row]);
  }
  return (row) => high[rows.group[row]] > low[rows.group[row]];
}

// The rows of a run that an address asks for, but for its search in the texts.
async function filteredRows(run, params) {
  const step = params.get("step") ? Number(params.get("step")) : null;
  const sections = sectionsOf(run, step, params.get("kind"));
  const rows = rowsOf(run);
  await Promise.all(sections.map(({ first, count }) => rows.need(first, count)));
  const tests = Object.entries(FILTERS).filter(([key]) => params.get(key)).map(([key, make]) => make(params.get(key)));
  const held = params.get("gram") ? new Uint8Array(rows.length) : null;
  if (held) for (const row of await rowsWithGram(run, params.get("gram"))) held[row] = 1;
  const found = new Uint32Array(sections.reduce((sum, { count }) => sum + count, 0));
  let size = 0;
  for (const section of sections) {
    const signal = params.get("signal") ? signalOf(rows, section) : null;
    for (let row = section.first; row < section.first + section.count; row++) {
      if (held && !held[row]) continue;
      if (signal && signal(row) !== (params.get("signal") === "1")) continue;
      if (tests.every((test) => test(rows, row))) found[size++] = row;
    }
  }
  return found.subarray(0, size);
}

function sortRows(rows, order, found) {
  const key = order.replace(/^-/, ""), sign = order.startsWith("-") ? -1 : 1;
  if (!SORTS[key]) return sign < 0 ? found.slice().reverse() : found; // rows are in the order of steps
  const values = SORTS[key](rows), last = (value) => (Number.isNaN(value) ? Infinity : sign * value);
  return found.slice().sort((a, b) => last(values[a]) - last(values[b]) || a - b);
}

// The last search, kept so that turning its pages does not begin it again.
let search = { key: null, value: null };

async function searchFor(run, params, query) {
  const key = `${run}?${["q", "re", "step", "kind", "gram", "signal", "sort", ...Object.keys(FILTERS)].map((name) => params.get(name))}`;
  if (search.key === key) return search.value;
  search.value?.stop();
  let rows = await filteredRows(run, params), exact = true;
  if (query) {
    const candidates = await query.candidates(run);
    exact = candidates.exact;
    if (candidates.rows) rows = intersect(rows, candidates.rows);
  }
  const value = new Search(run, sortRows(rowsOf(run), params.get("sort") ?? "", rows), query, exact);
  search = { key, value };
  return value;
}

function summaryOf(run, found) {
  const rows = rowsOf(run), all = lengths(rows);
  const sums = { right: 0, scored: 0, length: 0, measured: 0, clipped: 0, known: 0, none: 0, planning: 0 };
  for (const row of found) {
    sums.right += rows.score[row] > 0;
    sums.scored += !Number.isNaN(rows.score[row]);
    sums.length += Math.max(0, all[row]);
    sums.measured += all[row] >= 0;
    sums.clipped += rows.clipped[row] === 1;
    sums.known += rows.clipped[row] >= 0;
    sums.none += rows.grams[row] === 0;
    sums.planning += rows.planning[row];
  }
  return { ...sums, count: found.length, mean: sums.length / sums.measured, unit: lengthUnit(rows) };
}

function summaryLine(run, { found, rows, done, read }, isSearch) {
  if (!rows.length) return isSearch ? "No response holds this." : "No response fits.";
  if (!done) return `${number(found.length)} found so far; ${number(read)} of ${number(rows.length)} candidates read.`;
  if (!found.length) return "No response holds this.";
  const sums = summaryOf(run, found);
  const unknown = sums.known < sums.count ? ` of ${number(sums.known)} known` : "";
  return [
    plural(sums.count, "response"), sums.scored ? `${number(sums.right)} right (${percent(sums.right / sums.scored)})` : "none scored",
    `mean length ${number(sums.mean, 0)} ${sums.unit}`, sums.known ? `${number(sums.clipped)} clipped${unknown}` : "clipping unknown",
    `${number(sums.none)} without planning`,
  ].join(" · ");
}

// --- what a step changed ----------------------------------------------------------------------------------------------

// Measures of a section for a comparison, among them lengths of prompts that another section has, too.
function sectionFacts(run, { first, count }, shared) {
  const rows = rowsOf(run), all = Array.from({ length: count }, (_, place) => first + place), values = lengths(rows);
  const mean = (some) => (some.length ? some.reduce((sum, row) => sum + values[row], 0) / some.length : NaN);
  const sums = summaryOf(run, all), common = all.filter((row) => shared.has(rows.prompt[row])), groups = new Map();
  const signal = signalOf(rows, { first, count });
  for (const row of all) groups.set(rows.group[row], signal(row));
  return {
    "responses": count,
    "right": sums.scored ? sums.right / sums.scored : NaN,
    "mean length": sums.mean,
    "median length": values[all.slice().sort((a, b) => values[a] - values[b])[count >> 1]],
    "mean length, right": mean(all.filter((row) => rows.score[row] > 0)),
    "mean length, wrong": mean(all.filter((row) => rows.score[row] <= 0)),
    "mean length, prompts of both steps": mean(common),
    "mean length, prompts of one step alone": mean(all.filter((row) => !shared.has(rows.prompt[row]))),
    "responses to prompts of one step alone": count - common.length,
    "clipped": sums.known ? sums.clipped / sums.known : NaN,
    "planning (fraction)": sums.planning / count,
    "without planning": sums.none / count,
    "groups": groups.size,
    "groups without signal": [...groups.values()].filter((has) => !has).length,
  };
}
const FRACTIONS = new Set(["right", "clipped", "planning (fraction)", "without planning"]);

async function stepPanel(run, section) {
  const before = manifest.runs[run].sections.filter(({ kind, step }) => kind === section.kind && step < section.step).at(-1);
  if (!before) return el("p", { cls: "note" }, "This is the run's first step: there is none before it to compare it with.");
  const rows = rowsOf(run);
  await Promise.all([rows.need(before.first, before.count), rows.need(section.first, section.count)]);
  const promptsOf = ({ first, count }) => new Set(rows.prompt.subarray(first, first + count));
  const now = promptsOf(section), shared = new Set([...promptsOf(before)].filter((prompt) => now.has(prompt)));
  const [old, current] = [before, section].map((one) => sectionFacts(run, one, shared));
  const lines = Object.keys(current).map((name) => {
    const show = FRACTIONS.has(name) ? percent : (value) => number(value, value < 10 ? 2 : 0), change = current[name] - old[name];
    const cells = [show(old[name]), show(current[name]), signed(change, show)].map((text) => el("td", { cls: "n" }, text));
    return el("tr", {}, el("th", { scope: "row" }, name), cells);
  });
  const grams = await risen(run, before, section);
  const head = ["", `step ${before.step}`, `step ${section.step}`, "change"].map((title) => el("th", { scope: "col" }, title));
  const caption = `Step ${section.step} against step ${before.step} (lengths in ${lengthUnit(rows)})`;
  return el("div", { cls: "columns" }, el("div", { cls: "scroll" },
    el("table", {}, el("caption", {}, caption), el("thead", {}, el("tr", {}, head)), el("tbody", {}, lines))), grams);
}

// The grams whose use rose and fell most since the step before, in counts per response.
async function risen(run, before, section) {
  const { steps, counts, responses } = await json(`gramstats/${run}`);
  const [was, is] = [before, section].map(({ step }) => steps.indexOf(step));
  if (section.kind !== "train" || was < 0 || is < 0) return null;
  const change = Object.entries(counts).map(([gram, series]) => [gram, series[is] / responses[is] - series[was] / responses[was]]);
  change.sort((a, b) => b[1] - a[1]);
  const line = ([gram, by]) => el("li", {}, gramLink(run, gram), ` ${signed(by)} a response`);
  return el("div", {}, el("h3", {}, "Grams that rose most"), el("ul", {}, change.slice(0, 5).filter(([, by]) => by > 0).map(line)),
    el("h3", {}, "and fell most"), el("ul", {}, change.slice(-5).reverse().filter(([, by]) => by < 0).map(line)));
}
const gramText = (gram) => manifest.gram_list[gram]?.[0] ?? `gram ${gram}`;
const gramLink = (run, gram) => link("grams", { run, gram }, gramText(gram));

// --- one group --------------------------------------------------------------------------------------------------------

function advantageBar(value, most) {
  if (Number.isNaN(value)) return "–";
  const width = `${(50 * Math.min(1, Math.abs(value) / (most || 1))).toFixed(1)}%`;
  const bar = el("span", { cls: `bar ${value < 0 ? "down" : "up"}`, style: `width: ${width}` });
  return el("span", { cls: "bars" }, el("span", { cls: "track", "aria-hidden": "true" }, bar), signed(value));
}

function groupTable(run, members, row) {
  const rows = rowsOf(run), most = Math.max(...members.map((member) => Math.abs(rows.advantage[member]) || 0));
  return table({
    label: "the group", rows: members, open: (member) => change({ row: member }), selected: (member) => member === row,
    columns: [
      { title: "score", cell: (member) => verdict(rows.score[member]) },
      { title: "advantage", cell: (member) => advantageBar(rows.advantage[member], most) },
      { title: lengthUnit(rows), cls: "n", cell: (member) => number(lengthOf(rows, member)) },
      { title: "planning", cls: "n", cell: (member) => percent(rows.planning[member]) },
      { title: "grams", cls: "n wide", cell: (member) => number(rows.grams[member]) },
      { title: "", cls: "flags", cell: (member) => (rows.clipped[member] === 1 ? el("span", { cls: "flag" }, "clipped") : "") },
    ],
  });
}

function turnLayers(more) {
  const turns = Array.isArray(more?.turns) ? more.turns : [], kind = (role) => (/tool|function|observation/i.test(role) ? "tool" : "other");
  return turns.map(([start, end, role]) => [start, end, `turn turn-${kind(role)}`, `turn: ${role}`]);
}

// A response with its planning, its turns, and what a search found in it.
async function responseBox(run, row, query) {
  const rows = rowsOf(run), response = await responseOf(run, row), { step, kind } = sectionOf(run, row);
  const hits = query ? query.match(response.t).map(([start, end]) => [start, end, "hit", "found"]) : [];
  const more = { ...response.x }, images = [more.images ?? []].flat().filter(isImage);
  if (Array.isArray(more.turns)) delete more.turns; // marked in the text
  if (images.length) delete more.images;
  const facts = [
    `step ${step}, ${KINDS[kind]}`, `advantage ${signed(rows.advantage[row])}`, `${number(lengthOf(rows, row))} ${lengthUnit(rows)}`,
    `planning ${percent(rows.planning[row])}`, rows.turns[row] > 1 ? plural(rows.turns[row], "turn") : null, rows.clipped[row] === 1 ? "clipped" : null,
  ].filter(Boolean);
  return el("article", { cls: "response", "data-row": row },
    el("h3", {}, verdict(rows.score[row]), " ", facts.join(" · "), " ",
      rows.trace[row] >= 0 ? link("tokens", { run, step, trace: rows.trace[row] }, "token by token") : null),
    el("div", { cls: "text" }, markedText(response.t, [...gramLayers(response), ...turnLayers(response.x), ...hits])),
    images.map((image) => el("img", { src: image, alt: "image of the dump", loading: "lazy" })),
    Object.keys(more).length ? el("details", {}, el("summary", {}, "further fields of the dump"),
      el("dl", {}, Object.entries(more).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, asText(value))]))) : null);
}

async function detail(run, row, params, query) {
  const rows = rowsOf(run), { step, kind, first, count } = sectionOf(run, row);
  await rows.need(first, count);
  const members = rowsOfGroup(run, row), place = members.indexOf(row), prompt = rows.prompt[row];
  const right = members.filter((member) => isRight(rows.score[member])).length, same = new Set(members.map((member) => rows.score[member])).size < 2;
  const shown = params.get("all") ? members : [row];
  const boxes = await Promise.all(shown.map((member) => responseBox(run, member, query)));
  const turnTo = (by) => change({ row: members[(place + by + members.length) % members.length] }, true);
  return [
    el("div", { cls: "bar-of-detail" },
      el("button", { type: "button", "data-close": true, onclick: () => change({ row: null }) }, "← back to the table"),
      el("button", { type: "button", "data-step": "-1", onclick: () => turnTo(-1) }, "‹ previous"),
      el("span", { role: "status" }, `response ${place + 1} of ${members.length}`),
      el("button", { type: "button", "data-step": "1", onclick: () => turnTo(1) }, "next ›"),
      el("button", { type: "button", "aria-pressed": params.get("all") ? "true" : "false", onclick: () => change({ all: params.get("all") ? null : 1 }) }, "all at once")),
    el("h2", {}, `Group at step ${step} (${KINDS[kind]}): ${right} of ${members.length} right`, same && members.length > 1 ? " · no signal" : ""),
    el("p", { cls: "note" }, link("prompt", { prompt, run, a: `${run}:${row}` }, "this prompt across steps and runs")),
    el("div", { cls: "prompt text" }, await promptText(prompt)),
    groupTable(run, members, row), functionLegend(), ...boxes,
  ];
}

// --- the view ---------------------------------------------------------------------------------------------------------

function rolloutColumns(run, rows, texts, params) {
  return [
    params.get("step") ? null : { title: "step", key: "step", cls: "n", cell: (row) => number(sectionOf(run, row).step) },
    params.get("kind") ? null : { title: "set", cls: "wide", cell: (row) => KINDS[sectionOf(run, row).kind] },
    { title: "score", key: "score", cell: (row) => verdict(rows.score[row]) },
    { title: "advantage", key: "advantage", cls: "n spare", hint: manifest.runs[run].advantage, cell: (row) => signed(rows.advantage[row]) },
    { title: lengthUnit(rows), key: "length", cls: "n", cell: (row) => number(lengthOf(rows, row)) },
    { title: "planning", key: "planning", cls: "n wide", hint: `fraction of ${lengthUnit(rows)} in planning phrases`, cell: (row) => percent(rows.planning[row]) },
    { title: "grams", key: "grams", cls: "n wide", cell: (row) => number(rows.grams[row]) },
    { title: "turns", key: "turns", cls: "n wide", cell: (row) => number(rows.turns[row]) },
    { title: "", cls: "flags", cell: (row) => (rows.clipped[row] === 1 ? el("span", { cls: "flag" }, "clipped") : "") },
    { title: texts.isSearch ? "found" : "prompt", cls: "grow", cell: (row) => texts.get(row) },
  ].filter(Boolean);
}

// What a table's last column shows: where the search's words stand, or how the prompt begins.
async function rowTexts(run, shown, query) {
  const rows = rowsOf(run), texts = new Map();
  await Promise.all(shown.map(async (row) => {
    texts.set(row, query ? snippet((await responseOf(run, row)).t, query) : oneLine(promptTail(await promptText(rows.prompt[row]))));
  }));
  texts.isSearch = Boolean(query);
  return texts;
}
// Prompts begin alike, with a template: what tells them apart comes after its first marks.
const promptTail = (text) => text.replace(/^(?:\s|<[^>]{1,40}>|\[?[A-Za-z_]+\]?[:\n])*?(?:user|human)\b:?\s*/i, "").trim() || text;

function snippet(text, query) {
  const [hit] = query.match(text);
  if (!hit) return oneLine(text);
  const start = Math.max(0, hit[0] - 40);
  return el("span", {}, start ? "…" : "", text.slice(start, hit[0]), el("mark", { cls: "hit" }, text.slice(...hit)), `${text.slice(hit[1], hit[1] + 60)}…`);
}

function stepChoices(run) {
  const steps = [...new Set(manifest.runs[run].sections.map(({ step }) => step))];
  return [["", "all steps"], ...steps.map((step) => [step, `step ${step}`])];
}

function rolloutControls() {
  const grams = el("datalist", { id: "gram-names" }, manifest.gram_list.slice(0, 2000).map(([text]) => el("option", { value: text })));
  const gram = el("input", { list: "gram-names", size: 14, placeholder: "any", onchange: () => {
    const place = manifest.gram_list.findIndex(([text]) => text === gram.value.trim());
    if (gram.value.trim() && place < 0) return say(`No gram of this report's set is “${gram.value}”.`);
    change({ gram: place < 0 ? null : place, page: null });
  } });
  const yes = (one, other) => [["", "any"], ["1", one], ["0", other]];
  return [
    el("div", { cls: "controls" }, runChoice(), choice("step", "step", [["", "all steps"]]),
      el("button", { type: "button", "aria-label": "step before", id: "step-before", onclick: () => moveStep(-1) }, "‹"),
      el("button", { type: "button", "aria-label": "step after", id: "step-after", onclick: () => moveStep(1) }, "›"),
      choice("kind", "set", [["", "both"], ["train", "training"], ["validation", "held-out"]]),
      field("q", "search", { type: "search", "data-search": true, placeholder: "words, or a pattern", size: 24 }),
      check("re", "regular expression")),
    el("details", { cls: "more" }, el("summary", {}, "filters"), el("div", { cls: "controls" },
      choice("right", "answer", yes("right", "wrong")), choice("clipped", "clipped", yes("clipped", "not clipped")), check("noplan", "no planning"),
      el("label", { cls: "gram" }, el("span", {}, "holds gram"), gram), grams,
      choice("fn", "holds function", [["", "any"], ...manifest.functions.map((name, place) => [place, name])]),
      field("min", "length from", { type: "number", min: 0 }), field("max", "to", { type: "number", min: 0 }),
      field("turns", "turns at least", { type: "number", min: 1, max: 255 }), choice("signal", "group", yes("with signal", "without signal")),
      check("traced", "kept token by token"), field("prompt", "prompt number", { type: "number", min: 0 }),
      el("button", { type: "button", onclick: () => go("rollouts", { run: state.params.get("run"), step: state.params.get("step") }) }, "clear filters"))),
  ];
}

function moveStep(by) {
  const run = Number(state.params.get("run") ?? 0), steps = stepChoices(run).slice(1).map(([step]) => step);
  const at = steps.indexOf(Number(state.params.get("step") || NaN));
  const next = at < 0 ? steps[by > 0 ? 0 : steps.length - 1] : steps[at + by];
  if (next !== undefined) change({ step: next, row: null, page: null });
}

views.rollouts = {
  title: "Rollouts",
  build(root) {
    root.append(...rolloutControls(), el("p", { id: "found", role: "status" }),
      el("p", { id: "reading", hidden: true }, el("progress", { max: 1 }), " ", el("button", { type: "button", id: "stop" }, "stop")),
      el("details", { id: "against", cls: "more" }, el("summary", {}, "what this step changed"), el("div", {})),
      el("div", { cls: "split" }, el("section", { id: "table", "aria-label": "responses" }),
        el("section", { id: "detail", "aria-label": "the open group", hidden: true })));
  },

  async show(root, params, isFresh) {
    const run = Number(params.get("run") ?? 0), part = (id) => root.querySelector(`#${id}`);
    if (!manifest.runs[run]?.rows) return part("found").replaceChildren(`${runName(run)} has no rollouts. `, link("gaps", {}, "What it lacks"));
    this.fill(root, run, params);
    const query = queryOf(params.get("q"), params.get("re") === "1");
    const found = await searchFor(run, params, query);
    if (!isFresh()) return;
    await this.rows(root, run, params, query, found, isFresh);
    if (!isFresh()) return;
    await Promise.all([this.open(part("detail"), run, params, query, isFresh), this.against(part("against"), run, params, isFresh)]);
  },

  fill(root, run, params) {
    const step = root.querySelector("[data-key=step]");
    if (step.dataset.run !== String(run)) step.replaceChildren(...stepChoices(run).map(([value, text]) => el("option", { value }, text)));
    step.dataset.run = run;
    setControls(root, params);
    root.querySelector(".gram input").value = params.get("gram") ? gramText(params.get("gram")) : "";
    const active = [...Object.keys(FILTERS), "gram", "signal"].filter((key) => params.get(key)).length, more = root.querySelector(".more");
    more.querySelector("summary").textContent = active ? `filters (${active} on)` : "filters";
    if (active) more.open = true;
  },

  // One page of the table; texts are read as far as this page needs.
  async rows(root, run, params, query, found, isFresh) {
    const page = Number(params.get("page") ?? 0), part = (id) => root.querySelector(`#${id}`);
    const told = () => {
      if (!isFresh()) return found.stop();
      part("found").replaceChildren(summaryLine(run, found, Boolean(query)), " ", found.done ? "" :
        el("button", { type: "button", id: "count", onclick: () => this.readOn(root, run, params, query, found, isFresh) }, "read all of them"));
      part("reading").querySelector("progress").value = found.rows.length ? found.read / found.rows.length : 1;
    };
    const wanted = (page + 1) * PAGE_ROWS + 1;
    part("stop").onclick = () => found.stop();
    part("reading").hidden = found.done;
    do { // what is found is shown while the reading goes on
      await found.more(wanted, told, SHOW_MS);
      if (isFresh()) await this.draw(root, run, params, query, found, isFresh);
    } while (isFresh() && !found.done && !found.stopped && found.found.length < wanted);
    if (isFresh()) part("reading").hidden = true;
  },

  async draw(root, run, params, query, found, isFresh) {
    const page = Number(params.get("page") ?? 0), part = (id) => root.querySelector(`#${id}`), rows = rowsOf(run);
    const shown = [...found.found.slice(page * PAGE_ROWS, (page + 1) * PAGE_ROWS)], row = Number(params.get("row") ?? NaN);
    const texts = await rowTexts(run, shown, query);
    if (!isFresh()) return;
    part("table").replaceChildren(shown.length ? table({
      label: "responses", columns: rolloutColumns(run, rows, texts, params), rows: shown, sort: params.get("sort") || "step",
      open: (one) => change({ row: one }), selected: (one) => one === row,
    }) : "", pager(page, Math.ceil(found.found.length / PAGE_ROWS), !found.done) ?? "");
  },

  async readOn(root, run, params, query, found, isFresh) {
    root.querySelector("#reading").hidden = false;
    await found.more(Infinity, () => {
      root.querySelector("#reading progress").value = found.read / found.rows.length;
      root.querySelector("#found").textContent = summaryLine(run, found, true);
    });
    if (isFresh()) await this.rows(root, run, params, query, found, isFresh);
  },

  async open(box, run, params, query, isFresh) {
    const isOpen = params.get("row") !== null && Number(params.get("row")) < rowsOf(run).length;
    box.closest(".split").classList.toggle("opened", isOpen);
    box.hidden = !isOpen;
    if (!isOpen) return box.replaceChildren();
    const { first, count } = sectionOf(run, Number(params.get("row")));
    await rowsOf(run).need(first, count);
    const nodes = await detail(run, Number(params.get("row")), params, query);
    if (isFresh()) box.replaceChildren(...nodes);
  },

  async against(box, run, params, isFresh) {
    const sections = params.get("step") ? sectionsOf(run, Number(params.get("step")), params.get("kind")) : [];
    box.hidden = !sections.length;
    if (!sections.length) return;
    const panel = await stepPanel(run, sections[0]);
    if (isFresh()) box.lastElementChild.replaceChildren(panel);
  },
};
