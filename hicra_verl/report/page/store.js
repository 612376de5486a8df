// The store: the pieces of a report, loaded when a view needs them. hicra_verl/report/pieces.py writes them.

const arrivals = new Map(); // name of a piece -> takes what its script file brings
const hicra = { piece: (name, base64) => arrivals.get(name)?.(base64) };
const views = {}; // each view's file adds its own
const TYPES = { f4: Float32Array, i4: Int32Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array, i1: Int8Array };
const KEPT_BYTES = 128e6; // of unpacked pieces; what was used longest ago is forgotten first
let manifest = {};

const kept = new Map(); // name -> {value: promise, size}, in the order of use
let keptBytes = 0;
let inPage = null; // name -> tag, of the pieces that are in the page itself

function tagOf(name) {
  inPage ??= new Map([...document.querySelectorAll("script[data-piece]")].map((tag) => [tag.dataset.piece, tag]));
  return inPage.get(name);
}

// A page opened from a disk may not fetch files, but it may load scripts.
function fromFile(name) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const lost = () => {
      arrivals.delete(name);
      script.remove();
      reject(new Error(`A part of this report is missing: data/${name}.js. Is the whole folder there?`));
    };
    arrivals.set(name, resolve);
    script.src = `data/${name}.js`;
    script.onload = lost; // of no effect if the piece has arrived
    script.onerror = lost;
    document.head.append(script);
  });
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

async function bytesOf(name) {
  const tag = tagOf(name);
  if (!tag && !manifest.folder) throw new Error(`This page lacks its part ${name}.`);
  const packed = fromBase64(tag ? tag.textContent.trim() : await fromFile(name));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function load(name, read) {
  const found = kept.get(name);
  if (found) {
    kept.delete(name);
    kept.set(name, found);
    return found.value;
  }
  const entry = { size: 0 };
  entry.value = bytesOf(name).then((data) => {
    entry.size = data.length;
    keptBytes += data.length;
    forget(name);
    return read(data);
  });
  entry.value.catch(() => kept.delete(name)); // ask again next time
  kept.set(name, entry);
  return entry.value;
}

function forget(newest) {
  for (const [name, entry] of kept) {
    if (keptBytes <= KEPT_BYTES) return;
    if (name === newest || !entry.size) continue;
    kept.delete(name);
    keptBytes -= entry.size;
  }
}

function headerOf(data) {
  const length = new DataView(data.buffer).getUint32(0, true);
  return JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length)));
}

const json = (name) => load(name, (data) => JSON.parse(new TextDecoder().decode(data)));
const blob = (name) => load(name, (data) => ({ words: new Map(Object.entries(headerOf(data).words)), data }));

// The rows that a key of a blob holds: ascending, each written as its difference from the one before, 7 bits a byte.
function postings({ words, data }, key) {
  const [start, length, count] = words.get(key) ?? [0, 0, 0];
  const rows = new Uint32Array(count);
  for (let at = start, place = 0, row = 0; at < start + length; place++) {
    let value = 0, scale = 1;
    for (; data[at] > 127; at++, scale *= 128) value += (data[at] & 127) * scale;
    row += value + data[at++] * scale;
    rows[place] = row;
  }
  return rows;
}

// The columns of a run's rows: typed arrays of the run's whole length, filled block by block as rows are asked for.
class Rows {
  constructor(number) {
    this.number = number;
    this.length = manifest.runs[number].rows;
    this.blocks = new Map();
  }

  need(first, count) {
    const size = manifest.rows_per_block, wanted = [];
    for (let block = Math.floor(first / size); block * size < Math.min(first + count, this.length); block++) {
      if (!this.blocks.has(block)) this.blocks.set(block, this.fill(block));
      wanted.push(this.blocks.get(block));
    }
    return Promise.all(wanted).then(() => this);
  }

  all() {
    return this.need(0, this.length);
  }

  async fill(block) {
    const data = await bytesOf(`rows/${this.number}/${block}`);
    const { rows, columns } = headerOf(data);
    for (const [name, [type, offset]] of Object.entries(columns)) {
      this[name] ??= new TYPES[type](this.length);
      this[name].set(new TYPES[type](data.buffer, offset, rows), block * manifest.rows_per_block);
    }
  }
}

const tables = [];
const rowsOf = (run) => (tables[run] ??= new Rows(run));

async function responseOf(run, row) {
  const size = manifest.rows_per_text;
  return (await json(`text/${run}/${Math.floor(row / size)}`))[row % size];
}

async function promptText(prompt) {
  const size = manifest.prompts_per_block;
  return (await json(`prompts/${Math.floor(prompt / size)}`))[prompt % size];
}

// The section (one step's dump) that a row is in.
function sectionOf(run, row) {
  const { sections } = manifest.runs[run];
  let low = 0, high = sections.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (sections[middle].first <= row) low = middle;
    else high = middle - 1;
  }
  return sections[low];
}

const sectionsOf = (run, step, kind) =>
  manifest.runs[run].sections.filter((section) => (step == null || section.step === step) && (!kind || section.kind === kind));

function rowsOfGroup(run, row) {
  const { first, count } = sectionOf(run, row), { group } = rowsOf(run), rows = [];
  for (let other = first; other < first + count; other++) if (group[other] === group[row]) rows.push(other);
  return rows;
}
