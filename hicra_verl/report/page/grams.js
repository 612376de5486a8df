// Grams: which rise and fall through training, where they stand, and how often responses with them are right.

const GRAM_SORTS = {
  gram: ({ gram }) => gramText(gram), first: (row) => row.start, last: (row) => row.end, change: (row) => row.change,
  present: ({ present }) => present[0] / present[1], absent: ({ absent }) => absent[0] / absent[1], difference: (row) => row.difference,
};

// Each gram's share of all that were counted at a step, as a mean over the run's first third and over its last one.
function withShares({ steps, counts, rows }) {
  const total = steps.map((_, at) => Object.values(counts).reduce((sum, series) => sum + series[at], 0));
  const third = Math.max(1, Math.floor(steps.length / 3)), mean = (some) => some.reduce((sum, value) => sum + value, 0) / some.length;
  return rows.map((row) => {
    const shares = counts[row.gram].map((count, at) => count / (total[at] || 1));
    return { ...row, start: mean(shares.slice(0, third)), end: mean(shares.slice(-third)) };
  });
}

function sortedGrams(rows, order) {
  const key = order.replace(/^-/, ""), sign = order.startsWith("-") ? -1 : 1, value = GRAM_SORTS[key] ?? GRAM_SORTS.change;
  const rank = (row) => (typeof value(row) === "number" && !Number.isFinite(value(row)) ? null : value(row));
  return rows.slice().sort((a, b) => {
    const [x, y] = [rank(a), rank(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (x < y ? -1 : x > y ? 1 : 0) || a.gram - b.gram;
  });
}

// The interval as a bar around no difference, and in numbers.
function intervalCell({ difference, low, high }) {
  if (![difference, low, high].every(Number.isFinite)) return "–";
  const at = (value) => 50 + 50 * Math.max(-1, Math.min(1, value));
  const line = el("span", { cls: "interval", "aria-hidden": "true" },
    el("i", { style: `left:${at(low)}%;width:${at(high) - at(low)}%` }), el("b", { style: `left:${at(difference)}%` }));
  return el("span", {}, line, `${signed(difference, percent)} [${signed(low, percent)}, ${signed(high, percent)}]`);
}

function gramColumns() {
  const share = ([right, of]) => (of ? `${percent(right / of)} of ${number(of)}` : "–");
  return [
    { title: "gram", key: "gram", cls: "grow", cell: ({ gram }) => {
      const at = manifest.gram_list[gram]?.[1] ?? -1;
      return el("mark", { cls: at < 0 ? "" : `f f${at}`, title: manifest.functions[at] }, gramText(gram));
    } },
    { title: "first third", key: "first", cls: "n wide", hint: "of all grams counted at a step, the mean over the first third of the run", cell: ({ start }) => percent(start, 2) },
    { title: "last third", key: "last", cls: "n wide", cell: ({ end }) => percent(end, 2) },
    { title: "change", key: "change", cls: "n", cell: ({ change: by }) => signed(by, (value) => percent(value, 2)) },
    { title: "right with it", key: "present", cls: "n wide", cell: ({ present }) => share(present) },
    { title: "without it", key: "absent", cls: "n wide", cell: ({ absent }) => share(absent) },
    { title: "difference [95%]", key: "difference", cls: "wide", cell: intervalCell },
  ];
}

function gramChart(run, stats, gram) {
  const { steps, counts, responses } = stats, series = counts[gram] ?? [];
  const trace = {
    x: steps, y: series.map((count, at) => count / (responses[at] || 1)), type: "scatter", mode: "lines+markers",
    line: { color: colour(0), width: 2 }, hovertemplate: "step %{x}: %{y:.3g} a response<extra></extra>",
  };
  return chart(`${gramText(gram)}: times a response`, [trace], { height: 240, clicked: ({ x }) => go("rollouts", { run, step: x, gram }) });
}

async function gramDetail(run, stats, gram) {
  const row = stats.rows.find((one) => one.gram === gram);
  if (!row) return [el("p", {}, `“${gramText(gram)}” was not found in this run.`)];
  await Promise.all(row.contexts.map(([at]) => rowsOf(run).need(at, 1)));
  const contexts = row.contexts.map(([at, before, after]) => el("li", {}, `step ${sectionOf(run, at).step} `, verdict(rowsOf(run).score[at]), " ",
    el("a", { href: address("rollouts", { run, step: sectionOf(run, at).step, row: at, gram }) }, before, el("mark", { cls: "hit" }, gramText(gram)), after)));
  return [
    el("button", { type: "button", "data-close": true, onclick: () => change({ gram: null }) }, "← back to the table"),
    el("h2", {}, gramText(gram)), gramChart(run, stats, gram),
    el("p", {}, "Right with it ", percent(row.present[0] / row.present[1]), `, without it ${percent(row.absent[0] / row.absent[1])}: `, intervalCell(row)),
    el("p", {}, link("rollouts", { run, gram }, `all responses with it (${number(row.present[1])})`)),
    el("h3", {}, "Where it stands, early and late"), el("ul", { cls: "contexts" }, contexts),
  ];
}

views.grams = {
  title: "Grams",
  build(root) {
    root.append(el("div", { cls: "controls" }, runChoice(), field("q", "find a gram", { type: "search", "data-search": true }),
      choice("fn", "function", [["", "any"], ...manifest.functions.map((name, place) => [place, name])])),
      el("p", { cls: "warning", role: "note" }, "A difference in accuracy with and without a gram is no cause: hard problems may call for it, "
        + "and long responses hold more of everything."),
      el("p", { cls: "note", id: "grams-said", role: "status" }),
      el("div", { cls: "split" }, el("section", { id: "gram-table", "aria-label": "grams" }), el("section", { id: "gram-detail", "aria-label": "the open gram", hidden: true })));
  },

  async show(root, params, isFresh) {
    const run = Number(params.get("run") ?? 0), part = (id) => root.querySelector(`#${id}`);
    if (!manifest.runs[run].rows) return part("grams-said").replaceChildren(`${runName(run)} has no rollouts to count grams in.`);
    const stats = await json(`gramstats/${run}`), wanted = (params.get("q") ?? "").toLowerCase(), fn = params.get("fn");
    if (!isFresh()) return;
    const order = params.get("sort") || "-change", gram = params.get("gram") ? Number(params.get("gram")) : null;
    const isAsked = ({ gram: one }) => gramText(one).toLowerCase().includes(wanted) && (!fn || manifest.gram_list[one]?.[1] === Number(fn));
    const rows = sortedGrams(withShares(stats).filter(isAsked), order);
    const page = Number(params.get("page") ?? 0), shown = rows.slice(page * PAGE_ROWS, (page + 1) * PAGE_ROWS);
    part("grams-said").textContent = `${number(rows.length)} of the set's ${number(manifest.grams.size)} grams were found in ${runName(run)}.`;
    part("gram-table").replaceChildren(table({
      label: "grams", columns: gramColumns(), rows: shown, sort: order, open: (row) => change({ gram: row.gram }), selected: (row) => row.gram === gram,
    }), pager(page, Math.ceil(rows.length / PAGE_ROWS)) ?? "");
    root.querySelector(".split").classList.toggle("opened", gram !== null);
    part("gram-detail").hidden = gram === null;
    const nodes = gram === null ? [] : await gramDetail(run, stats, gram);
    if (isFresh()) part("gram-detail").replaceChildren(...nodes);
  },
};
