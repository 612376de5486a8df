// Search over all responses of a run: an inverted index gives candidates, the texts themselves decide.

const WORD = /[\p{L}\p{N}_\p{M}]+/gu;
const wordsOf = (text) => text.toLowerCase().match(WORD) ?? [];
const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
const MOMENT_MS = 300;
const VOCABULARY_WORDS = 400; // a pattern that more words fit is no help: reading the texts is as quick

// FNV-1a, as pieces.py computes it.
function shardOf(word) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(word)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash % manifest.word_shards;
}

async function rowsWithWord(run, word) {
  const shard = await blob(`words/${run}/${shardOf(word)}`);
  return postings(shard, word);
}

const rowsWithGram = async (run, gram) => postings(await blob(`holds/${run}`), String(gram));

function intersect(a, b) {
  const both = new Uint32Array(Math.min(a.length, b.length));
  let size = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) { both[size++] = a[i++]; j++; }
    else if (a[i] < b[j]) i++;
    else j++;
  }
  return both.subarray(0, size);
}

async function rowsWithAny(run, words) {
  const hit = new Uint8Array(manifest.runs[run].rows);
  for (const rows of await Promise.all(words.map((word) => rowsWithWord(run, word)))) for (const row of rows) hit[row] = 1;
  return Uint32Array.from(hit.keys()).filter((row) => hit[row]);
}

// --- regular expressions ----------------------------------------------------------------------------------------------

const ESCAPES_OF_WORDS = /^\\(?:w|d|b|p\{[LNM][a-z]?\})$/;

// The parts of a pattern that matter here, each {kind, text}: a word's character, a word's class, a group, a number of
// times, or something else. Flag u has checked the pattern already.
function partsOf(pattern) {
  const parts = [];
  const token = /\\(?:[pPu]\{[^}]*\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|[^])|\[(?:\\[^]|[^\]\\])*\]|\(\?(?:[:=!]|<[=!]|<\w+>)|[*+?]\??|\{\d+(?:,\d*)?\}\??|[^]/gu;
  for (const [text] of pattern.matchAll(token)) {
    let kind = "other";
    if (/^[\p{L}\p{N}_\p{M}]$/u.test(text)) kind = "letter";
    else if (ESCAPES_OF_WORDS.test(text)) kind = text === "\\b" ? "edge" : "class";
    else if (/^\[(?!\^)(?:\\w|\\d|[\p{L}\p{N}_\p{M}]-[\p{L}\p{N}_\p{M}]|[\p{L}\p{N}_\p{M}])+\]$/u.test(text)) kind = "class";
    else if (text === "(" || text === "(?:") kind = "open";
    else if (text.startsWith("(?")) kind = "look";
    else if (text === ")" || text === "|") kind = text;
    else if (/^(?:[*+?]\??|\{\d+(?:,\d*)?\}\??)$/.test(text)) kind = "times";
    parts.push({ kind, text });
  }
  return parts;
}

// Whether all that a pattern can match lies inside one word, so that the list of words answers it.
const isOneWord = (parts) => parts.some(({ kind }) => kind === "letter" || kind === "class") &&
  parts.every(({ kind }) => kind !== "other" && kind !== "look");

// Words that every match must hold, as patterns over single words. A run of letters is a whole word where something that
// is no letter must stand at its side; else other letters may follow.
function requiredWords(parts) {
  if (parts.some(({ kind }) => kind === "look")) return [];
  const found = [];
  let depth = 0, run = "", start = "";
  const close = (end) => {
    if (run.length > 1) found.push(start + escaped(run) + end);
    run = "";
  };
  for (let at = 0; at < parts.length; at++) {
    const { kind, text } = parts[at], times = parts[at + 1]?.kind === "times" ? parts[at + 1].text : "";
    const maybeNone = /^[*?]|^\{0/.test(times);
    if (kind === "|" && depth === 0) return [];
    if (kind === "open") { if (depth++ === 0) close(""); start = ""; continue; }
    if (kind === ")") { depth--; start = ""; continue; }
    if (depth > 0 || kind === "times") continue;
    if (kind === "letter" && !times) { run += text.toLowerCase(); continue; }
    const isEdge = kind === "edge" || (!maybeNone && kind === "other" && !isWide(text));
    close(isEdge ? "$" : "");
    start = isEdge ? "^" : "";
  }
  close("");
  return found;
}
// Parts that may match a letter, or nothing at all.
const isWide = (text) => text === "." || text === "^" || text === "$" || /^\\[BSDPpkux\d]/.test(text) || text.startsWith("[");

// --- a query ----------------------------------------------------------------------------------------------------------

// What a query asks for: {match(text) -> [[start, end], …], candidates(run) -> {rows, exact}}:
// which rows may fit (null: any), and whether each of them does.
// Throws SyntaxError for a pattern that is none.
function queryOf(text, isPattern) {
  if (!text) return null;
  return isPattern ? patternQuery(text) : wordQuery(text);
}

const matcherOf = (pattern) => (text) => {
  const found = [];
  for (const match of text.matchAll(pattern)) if (match[0]) found.push([match.index, match.index + match[0].length]);
  return found;
};

function wordQuery(text) {
  const words = [...new Set(wordsOf(text))];
  const edge = "[\\p{L}\\p{N}_\\p{M}]";
  const body = text.trim().split(/\s+/).map(escaped).join("\\s+");
  const [first, last] = [/^[\p{L}\p{N}_\p{M}]/u.test(text.trim()), /[\p{L}\p{N}_\p{M}]$/u.test(text.trim())];
  const pattern = new RegExp((first ? `(?<!${edge})` : "") + body + (last ? `(?!${edge})` : ""), "giu");
  const candidates = async (run) => {
    if (!words.length) return { rows: null, exact: false };
    const lists = await Promise.all(words.map((word) => rowsWithWord(run, word)));
    return { rows: lists.sort((a, b) => a.length - b.length).reduce(intersect), exact: words[0] === text.trim().toLowerCase() };
  };
  return { match: matcherOf(pattern), candidates };
}

function patternQuery(text) {
  const pattern = new RegExp(text, "giu"), parts = partsOf(text);
  const oneWord = isOneWord(parts), required = oneWord ? [text] : requiredWords(parts);
  const candidates = async (run) => {
    let rows = null, exact = oneWord;
    if (required.length) {
      const vocabulary = await json(`vocabulary/${run}`);
      for (const one of required) {
        const fits = new RegExp(one, "iu"), words = vocabulary.filter((word) => fits.test(word));
        if (words.length > VOCABULARY_WORDS) {
          exact = false;
          continue;
        }
        const found = await rowsWithAny(run, words);
        rows = rows ? intersect(rows, found) : found;
      }
    }
    return { rows, exact };
  };
  return { match: matcherOf(pattern), candidates };
}

// Rows in their order of which the texts fit: read as far as they are wanted, no further, and no longer than until stop().
class Search {
  constructor(run, rows, query, exact) {
    Object.assign(this, { run, rows, query, found: [], read: 0, stopped: false });
    if (!query || exact) {
      this.found = rows;
      this.read = rows.length;
    }
  }

  get done() {
    return this.read >= this.rows.length;
  }

  stop() {
    this.stopped = true;
  }

  // Read on until `wanted` rows are found, and a moment longer, for of a small run the whole count is soon known; at most
  // for so many milliseconds. told(this) now and then.
  async more(wanted, told, most = Infinity) {
    this.stopped = false;
    const start = performance.now(), spent = () => performance.now() - start;
    const isEnough = () => spent() > most || (this.found.length >= wanted && spent() > MOMENT_MS);
    for (let last = start; !this.done && !isEnough() && !this.stopped; ) {
      const batch = this.rows.subarray(this.read, this.read + 64);
      const texts = await Promise.all([...batch].map((row) => responseOf(this.run, row)));
      texts.forEach((response, place) => {
        if (this.query.match(response.t).length) this.found.push(batch[place]);
      });
      this.read += batch.length;
      if (performance.now() - last > 100) {
        told?.(this);
        last = performance.now();
        await new Promise((resolve) => setTimeout(resolve)); // let the page breathe: the stop button must work
      }
    }
    told?.(this);
    return this;
  }
}
