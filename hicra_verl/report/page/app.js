// The page: its state is its address (#view?key=value&…), so that every state can be sent to a colleague.

const ORDER = ["curves", "rollouts", "prompt", "tokens", "grams", "errors", "configuration", "gaps"];
const byId = (id) => document.getElementById(id);
let state = { view: null, params: new URLSearchParams() };
let turn = 0; // counts what was asked to be shown: what comes late, of an older one, is dropped
const roots = {};

function address(view, params) {
  const set = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return `#${view}${set.length ? `?${new URLSearchParams(set)}` : ""}`;
}

const link = (view, params, ...text) => el("a", { href: address(view, params) }, ...text);

function go(view, params = {}, replace = false) {
  const to = address(view, params);
  if (to === location.hash) return render();
  if (!replace) return void (location.hash = to);
  history.replaceState(null, "", to);
  render();
}

const change = (changes, replace = false) => go(state.view, { ...Object.fromEntries(state.params), ...changes }, replace);

let parting = ""; // said in the next view

function say(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

async function render() {
  const [name, query = ""] = location.hash.slice(1).split("?"), view = ORDER.includes(name) ? name : "curves";
  const mine = ++turn, isFresh = () => mine === turn, main = byId("view"), moved = state.view !== view;
  const before = document.activeElement?.closest("tr, [data-step], [data-turn]"), table = before?.closest("table")?.ariaLabel;
  state = { view, params: new URLSearchParams(query) };
  for (const key of ["run", "other"]) if (state.params.get(key) && !manifest.runs[state.params.get(key)]) state.params.delete(key); // of another report
  for (const one of byId("views").children) one.toggleAttribute("aria-current", one.dataset.view === view);
  byId("views").querySelector("[aria-current]").setAttribute("aria-current", "page");
  if (!roots[view]) views[view].build((roots[view] = el("div", { cls: `view view-${view}` })));
  if (moved) main.replaceChildren(roots[view]);
  document.title = `${views[view].title} · ${manifest.title}`;
  say(parting);
  parting = "";
  setControls(roots[view], state.params);
  main.setAttribute("aria-busy", "true");
  try {
    await views[view].show(roots[view], state.params, isFresh);
  } catch (error) { // a pattern that is none, a piece that is missing: said on the page, for nobody looks at the console
    say(error instanceof SyntaxError ? `This is no regular expression: ${error.message}` : error.message);
    console.warn(error);
  }
  if (!isFresh()) return;
  main.setAttribute("aria-busy", "false");
  if (before && !before.isConnected) refocus(before, table);
}

// What had the focus was drawn anew: the focus goes to what stands in its place.
function refocus(before, table) {
  const { step, turn: turned } = before.dataset;
  const root = roots[state.view], inTable = `table[aria-label="${table ?? ""}"] tr`;
  const there = before.tagName === "TR" ? root.querySelector(`${inTable}[aria-selected=true]`) ?? root.querySelector(`${inTable}[tabindex="0"]`)
    : root.querySelector(step ? `[data-step="${step}"]` : `[data-turn="${turned}"]`);
  there?.focus({ preventScroll: before.tagName !== "TR" });
}

// --- keys -------------------------------------------------------------------------------------------------------------

function moveRow(by) {
  const rows = [...document.querySelectorAll("table.rows tbody tr")].filter((row) => row.offsetParent);
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement?.closest("tr")), next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

const press = (selector) => [...document.querySelectorAll(selector)].find((node) => node.offsetParent && !node.disabled)?.click();

const KEYS = {
  "/": () => [...document.querySelectorAll("[data-search]")].find((node) => node.offsetParent)?.focus(),
  "?": () => byId("keys").showModal(),
  ArrowDown: () => moveRow(1),
  ArrowUp: () => moveRow(-1),
  ArrowLeft: () => (state.view === "tokens" ? views.tokens.move?.(-1) : press("[data-step='-1']")),
  ArrowRight: () => (state.view === "tokens" ? views.tokens.move?.(1) : press("[data-step='1']")),
  "[": () => press("[data-turn='-1']"),
  "]": () => press("[data-turn='1']"),
  Escape: () => press("[data-close]"),
};
ORDER.forEach((view, place) => (KEYS[place + 1] = () => go(view)));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  if (/^(?:INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (!KEYS[event.key] || (event.key === "Escape" && !document.querySelector("[data-close]"))) return;
  event.preventDefault();
  KEYS[event.key]();
});

// --- the frame --------------------------------------------------------------------------------------------------------

function chooseTheme(theme) {
  document.documentElement.style.colorScheme = theme;
  render();
}

// While a run goes on: look whether the report was written anew, and show it; the address keeps the state.
function watch() {
  let paused = false;
  const [box, button] = [byId("watching"), byId("watching").querySelector("button")];
  const tell = () => {
    box.firstElementChild.textContent = paused ? "not refreshed" : `looks for news every ${manifest.watch} s`;
    button.textContent = paused ? "go on" : "pause";
  };
  button.onclick = () => { paused = !paused; tell(); };
  box.hidden = false;
  tell();
  setInterval(async () => {
    if (paused || document.hidden || byId("keys").open) return;
    kept.delete("made");
    if (!manifest.folder || (await json("made")).made !== manifest.made) location.reload();
  }, 1000 * manifest.watch);
}

async function begin() {
  manifest = await json("manifest");
  manifest.functions.forEach((name, place) => {
    const shade = manifest.shades[name];
    if (shade) for (const part of ["strong", "pale", "underline"]) document.documentElement.style.setProperty(`--f${place}-${part}`, shade[part]);
  });
  byId("views").append(...ORDER.map((view) => el("a", { href: `#${view}`, "data-view": view }, views[view].title)));
  byId("help").onclick = () => byId("keys").showModal();
  byId("theme").onclick = () => chooseTheme(isDark() ? "light" : "dark");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
  byId("note").textContent = [manifest.note, `written ${manifest.made.slice(0, 16).replace("T", " ")}`].filter(Boolean).join(" · ");
  window.addEventListener("hashchange", render);
  if (manifest.watch) watch();
  await render();
}

begin().catch((error) => say(`This report cannot be shown: ${error.message}`));
