// A difference of two texts, word by word: Myers' greedy algorithm, within a time; what is not reached in it counts as changed.

const DIFF_MS = 400;
const DIFF_STEPS = 4000; // changes; beyond, two texts have little in common, and the trace takes memory
const pieces = (text) => text.match(/[\p{L}\p{N}_\p{M}]+|\s+|[^]/gu) ?? [];

// The words that both texts have in one order, as pairs of places; null if it took too long.
function commonWords(a, b) {
  const until = performance.now() + DIFF_MS, trace = [], most = Math.min(a.length + b.length, DIFF_STEPS);
  const reach = new Int32Array(2 * most + 3), middle = most + 1;
  for (let edits = 0; edits <= most; edits++) {
    if (performance.now() > until) return null;
    trace.push(reach.slice(middle - edits - 1, middle + edits + 2));
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      const at = middle + diagonal, down = diagonal === -edits || (diagonal !== edits && reach[at - 1] < reach[at + 1]);
      let x = down ? reach[at + 1] : reach[at - 1] + 1, y = x - diagonal;
      while (x < a.length && y < b.length && a[x] === b[y]) { x++; y++; }
      reach[at] = x;
      if (x >= a.length && y >= b.length) return walkBack(trace, a.length, b.length);
    }
  }
  return null;
}

// From the end back: at each number of edits, the words in common after the edit, then the edit itself.
function walkBack(trace, x, y) {
  const pairs = [];
  for (let edits = trace.length - 1; edits >= 0; edits--) {
    const reach = (diagonal) => trace[edits][diagonal + edits + 1], diagonal = x - y;
    const down = diagonal === -edits || (diagonal !== edits && reach(diagonal - 1) < reach(diagonal + 1));
    const from = edits ? reach(down ? diagonal + 1 : diagonal - 1) : 0, start = edits && !down ? from + 1 : from;
    while (x > start) pairs.push([--x, --y]);
    x = from;
    y = from - (down ? diagonal + 1 : diagonal - 1);
  }
  return pairs.reverse();
}

// Where each text has what the other has not: {a: [[start, end], …], b: …, whole: whether time allowed to compare all}.
function wordDiff(left, right) {
  const a = pieces(left), b = pieces(right);
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const pairs = commonWords(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  const sameA = new Set(pairs?.map(([x]) => x + head)), sameB = new Set(pairs?.map(([, y]) => y + head));
  const changed = (words, same) => {
    const spans = [];
    let place = 0;
    words.forEach((word, at) => {
      const isSame = at < head || at >= words.length - tail || same.has(at);
      if (!isSame && spans.at(-1)?.[1] === place) spans.at(-1)[1] = place + word.length;
      else if (!isSame) spans.push([place, place + word.length]);
      place += word.length;
    });
    return spans;
  };
  return { a: changed(a, sameA), b: changed(b, sameB), whole: pairs !== null };
}
