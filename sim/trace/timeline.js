"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), stage = $("stage"), ctx = canvas.getContext("2d");
const text = (i) => data.texts[i];
const OK = data.texts.indexOf("OK");
const FAULT = data.kinds.indexOf("fault"), HEAL = data.kinds.indexOf("heal"), STATE = data.kinds.indexOf("state"), VIOLATION = data.kinds.indexOf("violation"), FACT = data.kinds.indexOf("fact"), LOG = data.kinds.indexOf("log");

// Calls of a host that overlap lie on rows of their own, up to a number.
const ROWS = 6;
const lanes = data.hosts.map((name) => ({ name, calls: [], rows: 1, busy: [] }));
const calls = data.calls.map((c) => ({ from: c[0], took: c[1], host: c[2], name: c[3], out: c[4], id: c[5], peer: c[6], user: c[7] === 1, row: 0 }));
calls.sort((a, b) => a.from - b.from || b.took - a.took);
const byID = new Map();
for (const c of calls) {
  if (c.host < 0) continue;
  const lane = lanes[c.host];
  let row = lane.busy.findIndex((end) => end <= c.from);
  if (row < 0) row = lane.busy.length < ROWS ? lane.busy.length : lane.calls.length % ROWS;
  lane.busy[row] = c.from + c.took;
  c.row = row;
  lane.rows = Math.max(lane.rows, row + 1);
  lane.calls.push(c);
  if (c.id) {
    if (!byID.has(c.id)) byID.set(c.id, []);
    byID.get(c.id).push(c);
  }
}
for (const l of lanes) { // the longest so far, so that a search can begin where it must
  let longest = 0;
  l.longest = l.calls.reduce((m, c) => Math.max(m, c.took), longest);
}
const marks = data.marks.map((m) => ({ at: m[0], took: m[1], kind: m[2], host: m[3], name: m[4], detail: m[5], id: m[6] }));
const faults = marks.filter((m) => m.kind === FAULT);
for (const f of faults) { // a fault that has no end of its own ends when it is healed
  const heal = marks.find((m) => m.kind === HEAL && m.name === f.name && m.at >= f.at);
  f.end = heal ? heal.at : f.took ? f.at + f.took : f.at;
}
const fbusy = [];
for (const f of faults) {
  let row = fbusy.findIndex((end) => end <= f.at);
  if (row < 0) row = fbusy.length;
  fbusy[row] = f.end + 1;
  f.row = row;
}
const faultRows = Math.min(8, Math.max(1, fbusy.length));
const violations = marks.filter((m) => m.kind === VIOLATION);
const failures = calls.filter((c) => c.user && c.out !== OK);

let from = 0, to = Math.max(data.end, 1000); // what is seen, µs
let chosen = 0, point = null, filter = "", matches = null, width = 0, height = 0, dpr = 1;
const AXIS = 24, ROW = 11, GAP = 9, FAULTROW = 15;
let LABEL = 120;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const seconds = (us, digits) => (us / 1e6).toFixed(digits) + "s";
const lasting = (us) => us >= 1e6 ? (us / 1e6).toFixed(2) + " s" : us >= 1000 ? (us / 1000).toFixed(1) + " ms" : us + " µs";
const x = (t) => LABEL + (t - from) / (to - from) * (width - LABEL);
const time = (px) => from + (px - LABEL) / (width - LABEL) * (to - from);
const top0 = () => AXIS + faultRows * FAULTROW + GAP;

function layout() {
  dpr = window.devicePixelRatio || 1;
  width = stage.clientWidth;
  LABEL = width < 600 ? 84 : 130;
  let y = top0();
  for (const l of lanes) { l.y = y; y += l.rows * ROW + GAP; }
  height = stage.clientHeight; // browsers limit how tall a canvas can be: it shows a part and stays in place
  $("rest").style.height = Math.max(0, y + 6 - height) + "px";
  canvas.style.height = height + "px";
  canvas.width = Math.round(width * dpr);
  canvas.height = Math.round(height * dpr);
}

function first(list, t) { // the first of those that begin at t or later
  let a = 0, b = list.length;
  while (a < b) { const m = (a + b) >> 1; if (list[m].from < t) a = m + 1; else b = m; }
  return a;
}

let bars = 0;
function draw() {
  const down = stage.scrollTop, seen = (l) => l.y + l.rows * ROW + GAP > top0() + down && l.y - GAP < height + down;
  const c = { bg: css("--bg"), fg: css("--fg"), dim: css("--dim"), line: css("--line"), ok: css("--ok"), user: css("--user"), bad: css("--bad"), fault: css("--fault"), hit: css("--hit") };
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  ctx.fillStyle = c.bg;
  ctx.fillRect(0, 0, width, height);
  ctx.font = "12px system-ui, sans-serif";
  ctx.textBaseline = "middle";
  // time
  const span = to - from;
  let unit = 1;
  for (let e = 0; e < 12 && unit * (width - LABEL) / span < 70; e++) { for (const k of [1, 2, 5]) { unit = k * 10 ** e; if (unit * (width - LABEL) / span >= 70) break; } }
  ctx.textAlign = "center";
  for (let t = Math.ceil(from / unit) * unit; t <= to; t += unit) {
    ctx.fillStyle = c.line; ctx.fillRect(x(t), AXIS - 4, 1, height);
    ctx.fillStyle = c.dim; ctx.fillText(seconds(t, unit >= 1e6 ? 0 : unit >= 1e5 ? 1 : unit >= 1e4 ? 2 : unit >= 1000 ? 3 : 6), x(t), AXIS / 2);
  }
  ctx.save();
  ctx.beginPath(); ctx.rect(LABEL, 0, width - LABEL, height); ctx.clip();
  // faults: a band over all, its text on top
  for (const f of faults) {
    if (f.end < from || f.at > to) continue;
    const a = x(f.at), w = Math.max(2, x(f.end) - a);
    ctx.globalAlpha = 0.09; ctx.fillStyle = c.fault; ctx.fillRect(a, AXIS, w, height);
    ctx.globalAlpha = 0.6; ctx.fillRect(a, AXIS + (f.row % faultRows) * FAULTROW, w, FAULTROW - 2);
  }
  ctx.globalAlpha = 1;
  ctx.textAlign = "left";
  const said = [];
  for (const f of faults) {
    if (f.end < from || f.at > to) continue;
    const words = text(f.name).replace(/^\S+ /, ""), at = Math.max(x(f.at), LABEL) + 3, row = f.row % faultRows;
    if (at < (said[row] || 0)) continue;
    ctx.fillStyle = c.fg; ctx.fillText(words, at, AXIS + row * FAULTROW + (FAULTROW - 2) / 2);
    said[row] = at + ctx.measureText(words).width + 6;
  }
  // lanes move under the times and the faults
  const scrolled = () => { ctx.save(); ctx.beginPath(); ctx.rect(0, top0() - GAP / 2, width, height); ctx.clip(); ctx.translate(0, -down); };
  scrolled();
  // calls
  bars = 0;
  const q = matches, rest = chosen || q;
  const shown = lanes.filter(seen);
  shown.forEach((l) => {
    ctx.fillStyle = c.line; ctx.fillRect(0, l.y - GAP / 2, width, 1);
    const ends = [];
    for (let i = first(l.calls, from - l.longest); i < l.calls.length; i++) {
      const k = l.calls[i];
      if (k.from > to) break;
      if (k.from + k.took < from) continue;
      const a = x(k.from), w = Math.max(1.5, x(k.from + k.took) - a);
      const on = (!chosen || k.id === chosen) && (!q || q.has(k));
      const bad = k.out !== OK;
      if (!bad && !(on && rest) && a + w <= (ends[k.row] || -1) + .75) continue; // it would not be seen
      ends[k.row] = a + w;
      ctx.globalAlpha = on ? 1 : 0.13;
      ctx.fillStyle = bad ? c.bad : k.user ? c.user : c.ok;
      ctx.fillRect(a, l.y + k.row * ROW, w, ROW - 2);
      if (on) bars++;
      if (on && chosen) { ctx.strokeStyle = c.hit; ctx.lineWidth = 1; ctx.strokeRect(a - .5, l.y + k.row * ROW - .5, w + 1, ROW - 1); }
      if (on && w > 60) {
        ctx.save(); ctx.beginPath(); ctx.rect(a, l.y + k.row * ROW, w - 3, ROW); ctx.clip();
        ctx.fillStyle = "#fff"; ctx.font = "9px system-ui, sans-serif"; ctx.fillText(text(k.name), a + 3, l.y + k.row * ROW + ROW / 2 - .5); ctx.restore();
      }
    }
  });
  ctx.globalAlpha = 1;
  if (chosen) arrows(c);
  const last = new Map(); // facts that lie on each other are drawn once
  // what became of hosts, what was stated, what was logged
  for (const m of marks) {
    if (m.at < from || m.at > to || m.kind === FAULT || m.kind === HEAL || m.kind === VIOLATION) continue;
    const l = lanes[m.host];
    if (!l || !seen(l)) continue;
    const a = x(m.at), y = l.y - GAP / 2, tall = l.rows * ROW + GAP - 2;
    if (m.kind === STATE) {
      ctx.fillStyle = text(m.name) === "up" || text(m.name) === "back" ? c.user : c.bad;
      ctx.fillRect(a - 1, y, 2, tall);
      if (m.at > 0 && span < 4e7 || text(m.name) !== "up") { ctx.textAlign = "left"; ctx.fillText(text(m.name), a + 4, l.y + l.rows * ROW / 2); }
    } else if (m.kind === FACT) {
      if (!(chosen && m.id === chosen) && a - (last.get(l) ?? -9) < 1) continue;
      last.set(l, a);
      ctx.fillStyle = chosen && m.id === chosen ? c.hit : c.dim;
      ctx.beginPath(); ctx.arc(a, y + tall - 1, 2, 0, 7); ctx.fill();
    } else if (m.kind === LOG) { ctx.fillStyle = c.fault; ctx.fillRect(a, y + tall - 3, 2, 3); }
  }
  ctx.restore();
  for (const v of violations) {
    if (v.at < from || v.at > to) continue;
    ctx.fillStyle = c.bad; ctx.fillRect(x(v.at) - 1, 0, 2, height);
    ctx.textAlign = x(v.at) > width * .6 ? "right" : "left";
    ctx.font = "600 12px system-ui, sans-serif";
    const wide = ctx.measureText(text(v.name)).width;
    ctx.fillStyle = c.bg; ctx.fillRect(ctx.textAlign === "right" ? x(v.at) - wide - 12 : x(v.at) + 1, 0, wide + 11, AXIS - 4); // its text hides the times
    ctx.fillStyle = c.bad;
    ctx.fillText(text(v.name), x(v.at) + (ctx.textAlign === "left" ? 6 : -6), AXIS / 2);
    ctx.font = "12px system-ui, sans-serif";
  }
  ctx.restore();
  // names
  ctx.fillStyle = c.bg; ctx.globalAlpha = .92; ctx.fillRect(0, AXIS, LABEL - 1, height); ctx.globalAlpha = 1;
  ctx.textAlign = "right"; ctx.fillStyle = c.dim;
  ctx.fillText("faults", LABEL - 10, AXIS + faultRows * FAULTROW / 2);
  ctx.fillStyle = c.fg;
  scrolled();
  for (const l of shown) ctx.fillText(l.name, LABEL - 10, l.y + l.rows * ROW / 2 - 1, LABEL - 14);
  ctx.restore();
  document.body.dataset.lanes = lanes.length;
  document.body.dataset.bars = bars;
  document.body.dataset.ready = "yes";
}

// arrows go along a request, from who called to who answered.
function arrows(c) {
  const all = byID.get(chosen) || [];
  ctx.strokeStyle = c.hit; ctx.fillStyle = c.hit; ctx.lineWidth = 1.3;
  for (const k of all) {
    const caller = all.filter((o) => o.host === k.peer && o !== k && o.from <= k.from && o.from + o.took >= k.from + k.took - 1)
      .concat(all.filter((o) => o.user && !k.user && k.peer >= 0 && data.hosts[k.peer] === "user"))[0];
    if (!caller) continue;
    const a = x(k.from), y1 = lanes[caller.host].y + caller.row * ROW + ROW / 2, y2 = lanes[k.host].y + k.row * ROW + (y1 > lanes[k.host].y ? ROW - 2 : 0);
    ctx.beginPath(); ctx.moveTo(a, y1); ctx.lineTo(a, y2); ctx.stroke();
    const d = y2 > y1 ? -5 : 5;
    ctx.beginPath(); ctx.moveTo(a, y2); ctx.lineTo(a - 3, y2 + d); ctx.lineTo(a + 3, y2 + d); ctx.fill();
  }
}

let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; draw(); });
}

function show(a, b) {
  const least = 20, whole = Math.max(data.end, 1000);
  const span = Math.min(whole * 1.02, Math.max(least, b - a));
  const mid = (a + b) / 2;
  from = Math.max(-whole * .01, Math.min(mid - span / 2, whole * 1.01 - span));
  to = from + span;
  redraw();
}
function zoom(factor, at) { const t = at === undefined ? (from + to) / 2 : at; show(t - (t - from) * factor, t + (to - t) * factor); }
function near(t, span) { show(t - span * .7, t + span * .3); }

function under(px, down) {
  if (down < top0() - GAP / 2) return null;
  const py = down + stage.scrollTop;
  const l = lanes.find((o) => py >= o.y - GAP / 2 && py < o.y + o.rows * ROW + GAP / 2);
  if (!l) return null;
  let best = null, how = 6;
  for (const k of l.calls) {
    const a = x(k.from), b = Math.max(a + 1.5, x(k.from + k.took));
    if (matches && !matches.has(k)) continue;
    const d = Math.max(a - px, px - b, 0) + Math.abs(l.y + k.row * ROW + ROW / 2 - py) / 4;
    if (d < how) { how = d; best = k; }
  }
  return best;
}

function cell(row, words, bad) { const td = document.createElement("td"); td.textContent = words; if (bad) td.className = "bad"; row.append(td); }
function choose(id, call) {
  chosen = id; point = call;
  const box = $("detail");
  box.textContent = "";
  const list = id ? byID.get(id) || [] : call ? [call] : [];
  if (list.length) {
    const table = document.createElement("table");
    const facts = marks.filter((m) => id && (m.id === id || text(m.detail).includes(text(id))) && (m.kind === FACT || m.kind === VIOLATION));
    for (const k of [...list.map((k) => ({ at: k.from, k })), ...facts.map((m) => ({ at: m.at, m }))].sort((a, b) => a.at - b.at)) {
      const tr = document.createElement("tr");
      cell(tr, seconds(k.at, 6));
      if (k.k) {
        cell(tr, data.hosts[k.k.host]);
        cell(tr, text(k.k.name));
        cell(tr, text(k.k.out) + ", " + lasting(k.k.took) + (k.k.peer >= 0 ? ", from " + data.hosts[k.k.peer] : ""), k.k.out !== OK);
      } else { cell(tr, data.hosts[k.m.host] || ""); cell(tr, text(k.m.name)); cell(tr, text(k.m.detail), k.m.kind === VIOLATION); }
      table.append(tr);
    }
    box.append(table);
  }
  document.body.dataset.chosen = id ? text(id) : "";
  layout();
  redraw();
}

function search(words) {
  filter = words.trim().toLowerCase();
  matches = null;
  if (filter) {
    const hit = data.texts.map((s) => s.toLowerCase().includes(filter)), host = data.hosts.map((s) => s.toLowerCase() === filter || s.toLowerCase().startsWith(filter + "-"));
    const failed = filter === "failed";
    matches = new Set(calls.filter((k) => failed ? k.out !== OK : hit[k.name] || hit[k.out] || hit[k.id] || host[k.host] || host[k.peer]));
  }
  document.body.dataset.matches = matches ? matches.size : calls.length;
  redraw();
}

function jump(forward) {
  const t = point ? point.from : forward ? -1 : Infinity;
  const next = forward ? failures.find((f) => f.from > t) : failures.findLast((f) => f.from < t);
  if (!next) return;
  near(next.from + next.took, Math.max((to - from) / (to - from > 1e7 ? 20 : 1), next.took * 4));
  choose(next.id, next);
}

// hands: mouse, fingers, keys
const fingers = new Map();
let moved = false, pinch = 0;
canvas.addEventListener("wheel", (e) => {
  if (e.ctrlKey || e.metaKey || Math.abs(e.deltaY) > Math.abs(e.deltaX)) zoom(Math.exp(Math.max(-60, Math.min(60, e.deltaY)) / 200), time(e.offsetX));
  else show(from + e.deltaX / width * (to - from), to + e.deltaX / width * (to - from));
  e.preventDefault();
}, { passive: false });
canvas.addEventListener("pointerdown", (e) => { fingers.set(e.pointerId, e); moved = false; pinch = 0; canvas.setPointerCapture(e.pointerId); });
canvas.addEventListener("pointermove", (e) => {
  if (!fingers.has(e.pointerId)) return;
  const was = fingers.get(e.pointerId);
  fingers.set(e.pointerId, e);
  const all = [...fingers.values()];
  if (all.length === 2) {
    const d = Math.abs(all[0].offsetX - all[1].offsetX);
    if (pinch > 10 && d > 10) zoom(pinch / d, time((all[0].offsetX + all[1].offsetX) / 2));
    pinch = d; moved = true;
    return;
  }
  const dx = e.offsetX - was.offsetX;
  if (Math.abs(dx) < 1 && !moved) return;
  moved = true;
  show(from - dx / (width - LABEL) * (to - from), to - dx / (width - LABEL) * (to - from));
});
const up = (e) => {
  fingers.delete(e.pointerId);
  if (!moved && e.type === "pointerup") { const k = under(e.offsetX, e.offsetY); choose(k ? k.id : 0, k); }
};
canvas.addEventListener("pointerup", up);
canvas.addEventListener("pointercancel", up);
document.addEventListener("keydown", (e) => {
  if (e.target === $("filter")) { if (e.key === "Escape") { $("filter").value = ""; search(""); canvas.focus(); } return; }
  const span = to - from, act = {
    "+": () => zoom(.6), "=": () => zoom(.6), "-": () => zoom(1.6), "0": () => show(0, data.end),
    "ArrowLeft": () => show(from - span / 8, to - span / 8), "ArrowRight": () => show(from + span / 8, to + span / 8),
    "n": () => jump(true), "p": () => jump(false), "Escape": () => choose(0, null), "/": () => $("filter").focus(),
  }[e.key.length === 1 ? e.key.toLowerCase() : e.key];
  if (act && !e.ctrlKey && !e.metaKey && !e.altKey) { act(); e.preventDefault(); }
});
$("in").addEventListener("click", () => zoom(.5));
$("out").addEventListener("click", () => zoom(2));
$("all").addEventListener("click", () => show(0, data.end));
$("filter").addEventListener("input", (e) => search(e.target.value));
stage.addEventListener("scroll", redraw);
window.addEventListener("resize", () => { layout(); redraw(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

// what is said on top
$("title").textContent = data.meta.Scenario + ", seed " + data.meta.Seed;
const users = calls.filter((k) => k.user);
$("facts").textContent = users.length + " requests, " + failures.length + " failed · " + faults.length + " faults · " + seconds(data.end, 1) + " · trace " + data.meta.Hash.slice(0, 8);
if (violations.length) {
  const v = violations[0];
  $("verdict").textContent = "✗ " + text(v.name) + ": " + text(v.detail) + " (at " + seconds(v.at, 3) + ")";
  const go = () => { near(v.at, Math.min(4e6, data.end)); if (v.id) choose(v.id, (byID.get(v.id) || [])[0] || null); };
  $("verdict").addEventListener("click", go);
  layout();
  go();
}
const wanted = new URLSearchParams(location.hash.slice(1));
if (wanted.get("filter")) { $("filter").value = wanted.get("filter"); search(wanted.get("filter")); } else search("");
if (wanted.get("at")) { const t = parseFloat(wanted.get("at")) * 1e6; if (t >= 0) near(t, 2e6); }
if (wanted.get("id")) { const i = data.texts.indexOf(wanted.get("id")); if (byID.has(i)) choose(i, byID.get(i)[0]); }
layout();
if (!violations.length && !wanted.get("at")) show(0, data.end);
draw();
})();
