// Small means of showing things. Text of a run reaches the page as text alone: as nodes of text, never as markup.

function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name === "cls" ? "class" : name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const number = (value, digits = 3) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const small = Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6;
  return small ? value.toExponential(2) : value.toLocaleString("en", { maximumFractionDigits: digits });
};
const percent = (value, digits = 1) => (Number.isFinite(value) ? `${(100 * value).toFixed(digits)}%` : "–");
const signed = (value, show = number) => (Number.isFinite(value) ? (value > 0 ? "+" : "") + show(value) : "–");
const oneLine = (text, length = 90) => {
  const flat = text.slice(0, 4 * length).replace(/\s+/g, " ").trim();
  return flat.length > length ? `${flat.slice(0, length)}…` : flat;
};
const runName = (run) => manifest.runs[run].name;
const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
const isRight = (score) => score > 0;

// A score as a mark that needs no colour, and its value.
function verdict(score) {
  if (Number.isNaN(score) || score === null) return el("span", { cls: "verdict" }, "? no score");
  const right = isRight(score);
  const word = right ? "right" : "wrong";
  return el("span", { cls: `verdict ${word}`, title: word }, `${right ? "✓" : "✗"} ${number(score)}`);
}

// A control that is one parameter of the address: changed, it moves there; the view then shows the new state.
function control(key, label, input, { hint } = {}) {
  input.dataset.key = key;
  input.addEventListener("change", () => {
    const value = input.type === "checkbox" ? (input.checked ? "1" : "") : input.value;
    change({ [key]: value, page: null });
  });
  const named = el("label", { title: hint, cls: input.type === "checkbox" ? "check" : null });
  named.append(...(input.type === "checkbox" ? [input, ` ${label}`] : [el("span", {}, label), input]));
  return named;
}

const choice = (key, label, options, more) =>
  control(key, label, el("select", {}, options.map(([value, text]) => el("option", { value }, text))), more);
const check = (key, label, more) => control(key, label, el("input", { type: "checkbox" }), more);
const field = (key, label, properties, more) => control(key, label, el("input", properties), more);
const runChoice = (key = "run", label = "run", first = []) =>
  choice(key, label, [...first, ...manifest.runs.map((run, place) => [place, run.name])]);

function setControls(root, params) {
  for (const input of root.querySelectorAll("[data-key]")) {
    const value = params.get(input.dataset.key) ?? "";
    if (input.type === "checkbox") input.checked = value === "1";
    else if (input.tagName !== "SELECT") input.value = value;
    else input.value = [...input.options].some((option) => option.value === value) ? value : input.options[0]?.value ?? "";
  }
}

// A table of one page of rows.
//   columns: [{title, key (sorts by it), cls, hint, cell(row) -> node or text}], rows: any, open(row): what a click does
function table({ columns, rows, sort = "", open, selected, caption, label }) {
  const head = columns.map(({ title, key, cls, hint }) => {
    if (!key) return el("th", { scope: "col", cls, title: hint }, title);
    const now = sort === key ? "ascending" : sort === `-${key}` ? "descending" : null;
    const next = now === "descending" ? key : `-${key}`;
    const arrow = { ascending: " ▲", descending: " ▼" }[now] ?? "";
    const button = el("button", { type: "button", onclick: () => change({ sort: next, page: null }) }, title + arrow);
    return el("th", { scope: "col", cls, title: hint, "aria-sort": now }, button);
  });
  const body = rows.map((row, place) => {
    const cells = columns.map((column) => el("td", { cls: column.cls }, column.cell(row)));
    if (!open) return el("tr", {}, cells);
    const chosen = selected?.(row);
    return el("tr", {
      tabindex: chosen || place === 0 ? 0 : -1, "aria-selected": chosen ? "true" : "false", onclick: () => open(row),
      onkeydown: (event) => { if (event.key === "Enter" && event.target.tagName === "TR") open(row); },
    }, cells);
  });
  return el("div", { cls: "scroll" }, el("table", { "aria-label": label, cls: open ? "rows" : null },
    caption ? el("caption", {}, caption) : null, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
}

// Buttons of a paged table; the page is a parameter of the address, from 0.
function pager(page, pages, more = false) {
  if (pages < 2 && !more) return null;
  const to = (where) => change({ page: where || null });
  return el("div", { cls: "pager" },
    el("button", { type: "button", "data-turn": "-1", disabled: page < 1, onclick: () => to(page - 1) }, "‹ previous"),
    el("span", {}, `page ${number(page + 1)} of ${more ? "more than " : ""}${number(pages)}`),
    el("button", { type: "button", "data-turn": "1", disabled: page + 1 >= pages && !more, onclick: () => to(page + 1) }, "next ›"));
}

// A text with layers of marks. layers: [[start, end, class, title], …], in UTF-16 code units; they may overlap.
function markedText(text, layers) {
  const cuts = new Set([0, text.length]);
  for (const [start, end] of layers) cuts.add(Math.min(start, text.length)).add(Math.min(end, text.length));
  const places = [...cuts].sort((a, b) => a - b), ordered = [...layers].sort((a, b) => a[0] - b[0]);
  const nodes = [];
  let open = [], next = 0;
  for (let at = 0; at + 1 < places.length; at++) {
    const start = places[at], part = text.slice(start, places[at + 1]);
    while (next < ordered.length && ordered[next][0] <= start) open.push(ordered[next++]);
    open = open.filter((layer) => layer[1] > start);
    if (!open.length) nodes.push(part);
    else {
      const titles = open.map((layer) => layer[3]).filter(Boolean).join(" · ");
      nodes.push(el("mark", { cls: open.map((layer) => layer[2]).join(" "), title: titles || null }, part));
    }
  }
  return nodes;
}

// The layers of a response's counted grams.
function gramLayers({ m = [] }) {
  const layers = [];
  for (let at = 0; at < m.length; at += 4) {
    const name = manifest.functions[m[at + 2]] ?? "planning";
    layers.push([m[at], m[at + 1], `f f${m[at + 2]}`, `${name}: ${manifest.gram_list[m[at + 3]]?.[0] ?? ""}`]);
  }
  return layers;
}

const functionLegend = () => el("p", { cls: "note legend" }, "planning phrases: ",
  manifest.functions.flatMap((name, place) => [el("mark", { cls: `f f${place}` }, name), " "]));

// An image of a dump, if it is one that the page may show: it holds its data, and no script (as SVG may).
const isImage = (text) => /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/.test(text);

// Plotly reads tags in names.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");

const drawn = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) if (isIntersecting) drawChart(target);
}, { rootMargin: "300px" });

async function drawChart(box) {
  drawn.unobserve(box);
  await plotlyReady;
  if (box.isConnected && !box.data) box.draw();
}

// The charts that are in sight now; a view is ready when they are drawn.
const chartsInSight = (root) => Promise.all([...root.querySelectorAll(".chart")]
  .filter((box) => box.getBoundingClientRect().top < window.innerHeight).map(drawChart));
const plotlyReady = new Promise((resolve) => {
  if (document.readyState === "complete") resolve();
  else window.addEventListener("load", resolve);
});

// A chart, drawn when it comes into sight. traces as Plotly takes them; clicked(point) when a point is clicked.
function chart(title, traces, { unit = "", height = 270, clicked, layout = {} } = {}) {
  const box = el("div", { cls: "chart", role: "img", "aria-label": `chart: ${title}`, style: `height: ${height}px` });
  box.draw = () => {
    const axis = { gridcolor: GRID, linecolor: GRID, zeroline: false, automargin: true };
    Plotly.newPlot(box, traces, {
      title: { text: plain(title), font: { size: 13 }, x: 0.02, xanchor: "left" }, margin: { l: 50, r: 14, t: 36, b: 36 },
      legend: { orientation: "h", y: -0.14, yanchor: "top", font: { size: 10 }, maxheight: 0.3 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 11, color: getComputedStyle(document.body).color }, hovermode: "closest",
      showlegend: traces.filter((trace) => trace.showlegend !== false && trace.name).length > 1, ...layout,
      xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, title: { text: plain(unit), font: { size: 10 } }, ...layout.yaxis },
    }, { responsive: true, displayModeBar: false });
    if (clicked) box.on("plotly_click", ({ points }) => clicked(points[0]));
  };
  drawn.observe(box);
  return box;
}

function isDark() {
  const chosen = document.documentElement.style.colorScheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
const GRID = "rgba(128,140,150,.25)";
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const GLYPHS = "●■◆▲✖✚★⬟"; // as they look, in text
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "cross", "star", "pentagon"];

// A colour of the palette, lighter on a dark page.
function colour(place) {
  const code = manifest.series[place % manifest.series.length];
  return isDark() ? mixed(code, 0.45) : code;
}

function mixed(code, white) {
  const parts = [1, 3, 5].map((at) => parseInt(code.slice(at, at + 2), 16));
  return `rgb(${parts.map((part) => Math.round(part + (255 - part) * white)).join(",")})`;
}
const faint = (code, alpha) => (code.startsWith("#") ? mixed(code, 0) : code).replace("rgb(", "rgba(").replace(")", `,${alpha})`);
