// Draws the programs that page.rs wrote; what the data looks like is said there.
// All text goes in by textContent, never as markup: names come from whoever wrote the program.
"use strict";
const D = JSON.parse(document.getElementById("data").textContent), S = D.strings;
const $ = id => document.getElementById(id), world = $("world"), svg = $("graph");
const INPUT = 0, NODE = 1, OUTPUT = 2, GROUP = 3;
const HEIGHT = 38, GAP = 16, ROW = 40, PAD = 14;        // of boxes; GAP as in layout.rs
const OPEN_BELOW = 150;                                  // programs of fewer boxes start unfolded
const MOST_HITS = 2000, FAR = 600;                        // edges longer than this are faint
const FAMILIES = { source: 45, elementwise: 140, shape: 220, indexing: 280, contraction: 0, reduction: 25, algebra: 325, control: 185 };

let root, boxes, edges, byKernel, before;                // of the program shown
let view = { x: 0, y: 0, k: 1 }, picked = null, hits = [], hit = -1, sortBy = "flops", shown = 0;

const make = (tag, parent, text, cls) => {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (cls) e.className = cls;
  if (parent) parent.append(e);
  return e;
};
const draw = (tag, parent, attrs, text) => {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const k in attrs) e.setAttribute(k, attrs[k]);
  if (text !== undefined) e.textContent = text;
  parent.append(e);
  return e;
};
const short = x => {
  let p = 0;
  while (x >= 999.5 && p < 6) { x /= 1000; p++; }
  return (p ? x.toFixed(x < 9.995 ? 2 : x < 99.95 ? 1 : 0) : x) + " " + ["", "k", "M", "G", "T", "P", "E"][p];
};

// ---- programs as boxes ----

// A box has rows of boxes (a group) or bodies, each with rows (an op with nested programs), or neither.
function build(g, parent, scope) {
  const nodes = g.nodes.map(n => ({ kind: NODE, n, name: n[2][0] || "", from: [], to: [] }));
  const inputs = g.inputs.map(i => ({ kind: INPUT, name: i[0], title: i[0] + " " + i[1], type: S[i[2]], from: [], to: [] }));
  const values = inputs.map(box => [box, 0]);
  nodes.forEach(box => box.n[2].forEach((_, k) => values.push([box, k])));
  const name = v => v < inputs.length ? inputs[v].name : values[v][0].n[2][values[v][1]];
  const typeOf = v => v < inputs.length ? inputs[v].type : S[values[v][0].n[3][values[v][1]]];
  const outputs = g.outputs.map((v, i) => ({ kind: OUTPUT, name: "return " + i, title: "return " + i, type: typeOf(v), args: [v], from: [], to: [] }));
  for (const box of nodes) {
    const [op, args, results, types, file, line, attrs, flops, bytes, kernels, bodies] = box.n;
    Object.assign(box, { op: S[op], args, file: S[file], line, flops, bytes, kernels, types: types.map(t => S[t]) });
    box.title = (results[0] || "") + " " + box.op;
    box.type = box.types.join(", ");
    box.text = (results.length ? results.join(", ") + " = " : "") + box.op + "(" + args.map(name).join(", ") + ")" +
      (S[attrs] ? " {" + S[attrs] + "}" : "") + (box.type ? " : " + box.type : "");
    box.key = scope + box.name + box.op;
    box.bodies = bodies.map((b, k) => build(b, box, scope + box.name + "." + k + "/"));
    for (const k of kernels) (byKernel[k] = byKernel[k] || []).push(box);
  }
  for (const box of [...nodes, ...outputs])
    for (const v of box.args) {
      const from = values[v][0];
      if (!box.from.includes(from)) { box.from.push(from); from.to.push(box); edges.push([from, box]); }
    }
  const lists = [inputs, nodes, outputs];
  const place = (rows, parent) => rows.map(row => row.map(([kind, index, x, w]) => {
    let box = lists[kind] && lists[kind][index];
    if (kind === GROUP) {
      const [title, kernel, inside] = g.groups[index];
      box = { kind, title, name: title, kernel, from: [], to: [] };
      box.rows = place(inside, box);
      const all = leaves(box);
      box.flops = all.reduce((s, b) => s + (b.flops || 0), 0);
      box.bytes = all.reduce((s, b) => s + (b.bytes || 0), 0);
      box.type = all.length + " ops";
      box.main = all.reduce((m, b) => (b.flops || 0) > (m.flops || 0) ? b : m, all[0]).op;
    }
    Object.assign(box, { parent, left: x, width: w });
    boxes.push(box);
    return box;
  }));
  return { rows: place(g.rows, parent) };
}
const leaves = box => box.rows ? box.rows.flat().flatMap(leaves) : [box];
const folds = box => box.kind === GROUP || (box.bodies && box.bodies.length > 0);
const visible = box => {                                  // the box that stands for it
  let top = box;
  for (let b = box.parent; b; b = b.parent) if (!b.open) top = b;
  return top;
};

const last = D.stages.map((s, i) => s.graph !== null ? i : 0).reduce((a, b) => Math.max(a, b), 0);
function load(stage) {
  shown = stage;
  boxes = []; edges = []; byKernel = {};
  let at = stage;
  while (D.stages[at].graph === null && !D.stages[at].message && at > 0) at--;   // the pass changed nothing
  const empty = { inputs: [], nodes: [], outputs: [], groups: [], rows: [] };
  const g = D.stages[at].graph === null ? empty : D.graphs[D.stages[at].graph];
  root = build(g, null, "");
  before = null;
  for (let p = at - 1; p >= 0 && !before; p--)
    if (D.stages[p].graph !== null) before = keys(D.graphs[D.stages[p].graph], "", new Set());
  const small = boxes.length < OPEN_BELOW;
  boxes.forEach(b => b.open = small && folds(b));
  picked = null;
  const s = D.stages[stage], nothing = s.graph === null && !s.message;
  $("message").textContent = [D.message, s.message, nothing ? s.pass + " changed nothing" : ""].filter(x => x).join(" ");
  $("message").hidden = !$("message").textContent;
  arrange();
  search(false);
  detail();
  table();
  fit();
}
// What is known of a program: see `key` of boxes.
function keys(g, scope, all) {
  for (const n of g.nodes) {
    const name = n[2][0] || "";
    all.add(scope + name + S[n[0]]);
    n[10].forEach((b, k) => keys(b, scope + name + "." + k + "/", all));
  }
  return all;
}

// ---- where boxes are: page.rs says where in its row each is while all are folded; open ones push the others away ----

function size(box) {
  if (!box.open) return [box.width, HEIGHT];
  let w = PAD, h = 0;
  for (const list of box.rows ? [box] : box.bodies) {
    list.size = extent(list);
    w += list.size[0] + PAD;
    h = Math.max(h, list.size[1]);
  }
  return [Math.max(box.width, w), HEIGHT + h + PAD];
}
function extent(list) {
  let y = 0, least = Infinity, most = 0;
  for (const row of list.rows) {
    let high = 0, push = 0;
    for (const box of row) {
      [box.w, box.h] = size(box);
      box.dx = box.left + push;
      push += box.w - box.width;
      high = Math.max(high, box.h);
    }
    for (const box of row) {
      box.dx -= push / 2;                                 // to both sides alike
      box.dy = y;
      least = Math.min(least, box.dx);
    }
    y += high + ROW;
  }
  for (const box of list.rows.flat()) {
    box.dx -= least;
    most = Math.max(most, box.dx + box.w);
  }
  return [most, Math.max(0, y - ROW)];
}
function settle(list, x, y) {
  for (const box of list.rows.flat()) {
    box.x = x + box.dx;
    box.y = y + box.dy;
    if (!box.open) continue;
    let left = box.x + PAD;
    for (const inside of box.rows ? [box] : box.bodies) {
      settle(inside, left, box.y + HEIGHT);
      left += inside.size[0] + PAD;
    }
  }
}
let drawn = [], wires = [];                               // what is not folded away
function arrange() {
  root.size = extent(root);
  settle(root, 0, 0);
  drawn = [];
  const walk = list => list.rows.flat().forEach(box => {
    drawn.push(box);
    if (box.open) (box.rows ? [box] : box.bodies).forEach(walk);
  });
  walk(root);
  drawn.forEach((box, i) => box.number = i);
  const seen = new Set();
  wires = [];
  for (const [from, to] of edges) {
    const a = visible(from), b = visible(to), id = a.number * drawn.length + b.number;
    if (a !== b && !seen.has(id)) { seen.add(id); wires.push([a, b]); }
  }
  paint();
}
function toggle(box) {
  const x = box.x, y = box.y;
  box.open = !box.open;
  arrange();
  move(view.x + (x - box.x) * view.k, view.y + (y - box.y) * view.k, view.k);   // the box stays under the pointer
  paint();
}
function reveal(box) {
  for (let b = box.parent; b; b = b.parent) b.open = true;
  arrange();
  const r = svg.getBoundingClientRect(), k = Math.max(view.k, 0.8);
  move(r.width / 2 - (box.x + box.w / 2) * k, r.height / 2 - (box.y + Math.min(box.h, r.height / k) / 2) * k, k);
  paint();
}

// ---- the picture: only what is on the screen, without text when it is too small to read ----

function colour(box) {
  const by = $("colour").value;
  if (by === "family") {
    const family = D.families[box.op || box.main];         // a group by its dearest op
    return family ? `hsl(${FAMILIES[family]} 55% var(--light))` : "var(--panel)";
  }
  const x = box[by] || 0, t = x > 0 && colour.most > 1 ? Math.log(1 + x) / Math.log(1 + colour.most) : 0;
  return x > 0 ? `hsl(${230 - 230 * t} ${30 + 50 * t}% var(--light))` : "var(--panel)";
}
let painting = false;
function paint() {
  if (painting) return;
  painting = true;
  requestAnimationFrame(() => { painting = false; paintNow(); });
}
function paintNow() {
  const r = svg.getBoundingClientRect(), k = view.k, margin = 200 / k;
  const [x0, y0] = [-view.x / k - margin, -view.y / k - margin], [x1, y1] = [x0 + r.width / k + 2 * margin, y0 + r.height / k + 2 * margin];
  const on = b => b.x < x1 && b.x + b.w > x0 && b.y < y1 && b.y + b.h > y0;
  const words = k > 0.3, near = picked ? new Set([...picked.from, ...picked.to].map(visible)) : new Set();
  const at = picked && visible(picked), marked = new Set(hits.map(visible));
  colour.most = boxes.reduce((m, b) => Math.max(m, b[$("colour").value] || 0), 0);
  world.replaceChildren();
  for (const b of drawn) if (b.open && on(b)) box(b, words, at, near, marked);
  const pickedWires = [];
  for (const [a, b] of wires) {
    const [ax, ay, bx, by] = [a.x + a.w / 2, a.y + a.h, b.x + b.w / 2, b.y];
    if (Math.max(ax, bx) < x0 || Math.min(ax, bx) > x1 || Math.max(ay, by) < y0 || Math.min(ay, by) > y1) continue;
    if (a === at || b === at) { pickedWires.push([ax, ay, bx, by]); continue; }
    wire(ax, ay, bx, by, by - ay > FAR ? "edge long" : "edge");
  }
  for (const w of pickedWires) wire(...w, "edge near");
  for (const b of drawn) if (!b.open && on(b)) box(b, words, at, near, marked);
}
function wire(ax, ay, bx, by, cls) {
  const bend = Math.max(18, Math.min(120, Math.abs(by - ay) / 2));
  draw("path", world, { class: cls, d: `M${ax} ${ay}C${ax} ${ay + bend} ${bx} ${by - bend} ${bx} ${by - 1}` });
}
function box(b, words, at, near, marked) {
  const isNew = b.key !== undefined && before && !before.has(b.key);
  const cls = ["box", b.open && "open", isNew && "new", marked.has(b) && "hit", near.has(b) && "near", b === at && "picked"];
  const g = draw("g", world, { class: cls.filter(c => c).join(" "), transform: `translate(${b.x} ${b.y})` });
  const rect = draw("rect", g, { width: b.w, height: b.h });
  if (!b.open) rect.style.fill = colour(b);
  g.onclick = e => {
    if (dragged) return;
    e.stopPropagation();
    if (e.detail === 2 && folds(b)) toggle(b); else pick(b);   // the first click painted anew: there is no dblclick
  };
  if (!words) return;
  const room = Math.floor((b.w - (folds(b) ? 30 : 14)) / 7), cut = s => s.length > room ? s.slice(0, room - 1) + "\u2026" : s;
  const left = folds(b) ? 24 : 8;
  if (folds(b)) draw("text", g, { class: "fold", x: 7, y: 20 }, b.open ? "\u25be" : "\u25b8").onclick = e => { e.stopPropagation(); toggle(b); };
  draw("text", g, { x: left, y: 13 }, cut(b.title));
  draw("text", g, { class: "type", x: left, y: 28 }, cut(b.type));
}
function move(x, y, k) {
  view = { x, y, k };
  world.setAttribute("transform", `translate(${x} ${y}) scale(${k})`);
}
function fit() {
  const r = svg.getBoundingClientRect(), [w, h] = root.size;
  const k = Math.max(0.02, Math.min(1, (r.width - 40) / (w || 1), (r.height - 40) / (h || 1)));
  // too tall to be read: the top, as wide as it is
  const wide = k < 0.35 ? Math.max(k, Math.min(0.6, (r.width - 40) / (w || 1))) : k;
  move((r.width - w * wide) / 2, 20, wide);
  paint();
}
function zoom(by, x, y) {
  const k = Math.max(0.02, Math.min(4, view.k * by)), f = k / view.k;
  move(x - (x - view.x) * f, y - (y - view.y) * f, k);
  paint();
}
let drag = null, dragged = false;
svg.onpointerdown = e => { drag = [e.clientX, e.clientY, view.x, view.y]; dragged = false; };
window.onpointermove = e => {
  if (!drag) return;
  const [dx, dy] = [e.clientX - drag[0], e.clientY - drag[1]];
  if (!dragged && Math.hypot(dx, dy) < 4) return;
  dragged = true;
  svg.classList.add("drag");
  move(drag[2] + dx, drag[3] + dy, view.k);
  paint();
};
window.onpointerup = () => { drag = null; svg.classList.remove("drag"); };
svg.onclick = () => { if (!dragged) pick(null); };
svg.addEventListener("wheel", e => {
  e.preventDefault();
  const r = svg.getBoundingClientRect();
  if (e.ctrlKey || !e.shiftKey) zoom(Math.exp(-e.deltaY * 0.0015), e.clientX - r.left, e.clientY - r.top);
  else { move(view.x - e.deltaY, view.y, view.k); paint(); }
}, { passive: false });

// ---- what is picked ----

function pick(b) {
  picked = b;
  detail();
  table();
  paint();
}
function links(parent, list) {
  const most = 60;
  list.slice(0, most).forEach(b => make("a", parent, b.title).onclick = () => { pick(b); reveal(b); });
  if (list.length > most) make("span", parent, `and ${list.length - most} more`);
}
function kernelDetail(parent, id) {
  const k = D.kernels[id];
  make("h2", parent, `step ${k.path}: ${k.kind} ${S[k.name]}`);
  const dl = make("dl", parent), row = (t, d) => { make("dt", dl, t); return make("dd", dl, d); };
  row("operations", short(k.flops) + "flop" + (k.times > 1 ? `, ${short(k.times)}times` : ""));
  row("moved", short(k.bytes) + "B" + (k.bytes ? `, ${(k.flops / k.bytes).toFixed(2)} flop/B` : ""));
  if (S[k.nest]) row("runs as", `${k.lanes} lanes; threads share ${k.split} iterations by ${k.grain}`);
  row("memory", short(k.live) + "B of intermediates live");
  links(row("ops"), byKernel[id] || []);
  if (S[k.nest]) make("pre", parent, S[k.nest]);
  if (S[k.code]) { make("h2", parent, k.form || "code"); make("pre", parent, S[k.code]); }
}
function detail() {
  const at = $("detail"), b = picked;
  at.replaceChildren();
  if (!b) return stageDetail(at);
  if (b.kind === GROUP && b.kernel >= 0) return kernelDetail(at, b.kernel);
  make("h2", at, b.title);
  if (b.text) make("pre", at, b.text, "wrap");
  const dl = make("dl", at), row = (t, d) => { make("dt", dl, t); return make("dd", dl, d); };
  row("type", b.type);
  if (b.kind === NODE) {
    row("operations", short(b.flops) + "flop");
    row("bytes", short(b.bytes) + "B by itself");
    if (b.line) row("source", `${b.file}:${b.line}`);
    const quoted = b.file === D.title && D.sources[b.line];
    if (quoted) make("code", row("line"), quoted);
    const dd = row("kernel", b.kernels.length || !hasKernels() ? "" : "none: it moves nothing");
    b.kernels.forEach(k => make("a", dd, `${D.kernels[k].path} ${S[D.kernels[k].name]}`).onclick = () => pickKernel(k));
  }
  links(row("reads"), b.from);
  links(row("read by"), b.to);
  if (b.bodies && b.bodies.length) links(row("body"), b.bodies.flatMap(l => l.rows.flat()).slice(0, 20));
  if (b.kernels && b.kernels.length === 1) kernelDetail(at, b.kernels[0]);
}
const hasKernels = () => Object.keys(byKernel).length > 0;
const outside = b => !b.parent || b.parent.kind === GROUP && outside(b.parent);
function stageDetail(at) {
  const s = D.stages[shown];
  make("h2", at, s.pass);
  const dl = make("dl", at), row = (t, d) => { make("dt", dl, t); make("dd", dl, d); };
  row("nodes", s.before === s.after ? `${s.after}` : `${s.before} before, ${s.after} after`);
  if (s.ms !== null) row("time", s.ms.toFixed(3) + " ms");
  const all = boxes.filter(b => b.kind === NODE && outside(b));   // ops with bodies count what is in them
  row("operations", short(all.reduce((n, b) => n + (b.flops || 0), 0)) + "flop");
  row("bytes", short(all.reduce((n, b) => n + (b.bytes || 0), 0)) + "B, each op by itself");
  make("p", at, "Click a box for its text, source and cost; double-click or its triangle folds it. Drag to pan, wheel to zoom. Boxes with a dark outline are new since the program before.");
}
function pickKernel(id) {                                  // kernels are those of the last program
  if (!hasKernels() && shown !== last) { $("stage").value = last; load(last); }
  const list = byKernel[id];
  const group = boxes.find(b => b.kernel === id);
  const b = group || (list && list[0]);
  if (b) { pick(b); reveal(b); return; }
  picked = null;                                          // it is too large to be drawn
  $("detail").replaceChildren();
  kernelDetail($("detail"), id);
}
function table() {
  const at = $("table");
  at.replaceChildren();
  if (!D.kernels.length) return;
  make("h2", at, `kernels of the compiled program (${D.kernels.length})`);
  const cost = { flops: k => k.flops * k.times, bytes: k => k.bytes * k.times, step: (_, i) => -i };
  const t = make("table", at), head = make("tr", make("thead", t));
  for (const [by, text] of [["step", "step"], ["", "what"], ["flops", "flop"], ["bytes", "bytes"], ["", "lanes"]]) {
    const th = make("th", head, text, by === sortBy ? "by" : "");
    if (by) th.onclick = () => { sortBy = by; table(); };
  }
  const rows = D.kernels.map((k, i) => [k, i, cost[sortBy](k, i)]).sort((a, b) => b[2] - a[2]);
  const body = make("tbody", t), most = 500;
  for (const [k, i] of rows.slice(0, most)) {
    const mine = picked && (picked.kernel === i || (picked.kernels || []).includes(i));
    const tr = make("tr", body, undefined, mine ? "picked" : "");
    [k.path, S[k.name], short(cost.flops(k)), short(cost.bytes(k)), k.lanes].forEach(x => make("td", tr, x));
    tr.children[1].title = S[k.name];
    tr.onclick = () => pickKernel(i);
  }
  if (rows.length > most) make("p", at, `and ${rows.length - most} more`);
}

// ---- finding ----

function search(jump) {
  const q = $("find").value.trim().toLowerCase();
  const source = b => b.line ? `${b.file}:${b.line} ${b.file === D.title && D.sources[b.line] || ""}` : "";
  // a value by its whole name, all else by any part
  const is = b => /^%\d+$/.test(q) ? [b.name, ...(b.n ? b.n[2] : [])].includes(q)
    : [b.title, b.type, source(b)].some(s => s.toLowerCase().includes(q));
  hits = q ? boxes.filter(b => b.kind !== GROUP && is(b)).slice(0, MOST_HITS) : [];
  hit = -1;
  $("found").textContent = q ? `${hits.length}${hits.length === MOST_HITS ? " or more" : ""} found` : "";
  if (jump) next(1);
  paint();
}
function next(step) {
  if (!hits.length) return;
  hit = (hit + step + hits.length) % hits.length;
  $("found").textContent = `${hit + 1} of ${hits.length}`;
  pick(hits[hit]);
  reveal(hits[hit]);
}
$("find").oninput = () => search(false);
$("find").onkeydown = e => { if (e.key === "Enter") next(e.shiftKey ? -1 : 1); };
window.onkeydown = e => {
  if (e.target.tagName === "INPUT" || e.ctrlKey || e.metaKey) return;
  if (e.key === "/") { e.preventDefault(); $("find").focus(); }
  if (e.key === "f") fit();
  if (e.key === "Escape") pick(null);
};

// ---- the bar ----

$("title").textContent = document.title = D.title;
D.stages.forEach((s, i) => {
  const what = s.message || (s.graph === null ? "no change" : i ? `${s.before} \u2192 ${s.after} nodes` : `${s.after} nodes`);
  make("option", $("stage"), `${i ? i + ". after " : ""}${s.pass} (${what})`).value = i;
});
$("stage").onchange = () => load(+$("stage").value);
$("colour").onchange = () => { legend(); paint(); };
$("fold").onclick = () => { boxes.forEach(b => b.open = false); arrange(); fit(); };
$("unfold").onclick = () => { boxes.forEach(b => b.open = folds(b)); arrange(); fit(); };
$("fit").onclick = fit;
window.onresize = paint;
function legend() {
  const at = $("legend");
  at.replaceChildren();
  const by = $("colour").value;
  const list = by === "family" ? Object.keys(FAMILIES).map(f => [f, `hsl(${FAMILIES[f]} 55% var(--light))`])
    : [["few " + by, "hsl(200 40% var(--light))"], ["some", "hsl(115 55% var(--light))"], ["most", "hsl(0 80% var(--light))"]];
  for (const [text, fill] of list) {
    const span = make("span", at);
    make("i", span).style.background = fill;
    span.append(text);
  }
}
legend();
$("stage").value = last;
load(last);
