"use strict";
const NS = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const tag = (name, attrs, parent, text) => {
  const e = document.createElementNS(NS, name);
  for (const k in attrs) e.setAttribute(k, attrs[k]);
  if (text !== undefined) e.textContent = text;
  if (parent) parent.append(e);
  return e;
};
const short = (n) => n >= 100 || Number.isInteger(n) ? String(Math.round(n)) : n >= 10 ? n.toFixed(1) : n.toFixed(n < 1 ? 2 : 1);
const milli = (n) => n >= 1000 ? short(n / 1000) + " s" : short(n) + " ms";
const clock = (s) => s < 60 ? s.toFixed(1) + " s" : Math.floor(s / 60) + ":" + String(Math.floor(s % 60)).padStart(2, "0");

// The picture: users, then layer by layer who is called. Columns where there is
// room for them, rows on a phone.
class Topology {
  constructor(svg, choose) { Object.assign(this, { svg, choose, nodes: new Map(), paths: new Map(), key: "", dots: [] }); }

  layout(roles, hosts) {
    const width = this.svg.clientWidth || 600, tall = width < 620;
    const key = width + hosts.map((h) => h.name).join() + roles.map((r) => r.layer).join();
    if (key === this.key) return;
    this.key = key;
    this.svg.replaceChildren();
    this.nodes.clear(); this.paths.clear(); this.dots = [];
    this.under = tag("g", {}, this.svg);
    this.moving = tag("g", {}, this.svg);
    const depths = [...new Set(roles.map((r) => r.layer))].sort((a, b) => a - b);
    const layers = [[{ name: "user", hosts: [{ name: "user" }] }]];
    for (const d of depths) {
      layers.push(roles.filter((r) => r.layer === d).map((r) => ({ name: r.name, doc: r.doc, hosts: hosts.filter((h) => h.role === r.name) })));
    }
    const w = tall ? Math.min(136, (width - 50) / 2 - 6) : Math.max(112, Math.min(150, width / layers.length - 60)), h = 46, gap = 9;
    let height = 0;
    if (tall) {
      let y = 14;
      for (const groups of layers) {
        for (const g of groups) {
          const per = Math.max(1, Math.min(g.hosts.length, Math.floor((width - 44) / (w + gap))));
          const rows = Math.ceil(g.hosts.length / per), box = per * (w + gap) - gap + 20;
          this.group(g, (width - box) / 2, y, box, rows * (h + gap) - gap + 34, per, w, h, gap);
          y += rows * (h + gap) - gap + 34 + 22;
        }
      }
      height = y;
    } else {
      const column = (groups) => groups.map((g) => {
        const per = Math.ceil(g.hosts.length / 8), rows = Math.ceil(g.hosts.length / per);
        return { g, per, w: per * (w + gap) - gap + 20, h: rows * (h + gap) - gap + 34 };
      });
      const columns = layers.map(column);
      const need = columns.map((c) => c.reduce((n, b) => n + b.h + 16, -16));
      height = Math.max(340, Math.max(...need) + 40);
      const used = columns.reduce((n, c) => n + Math.max(...c.map((b) => b.w)), 0);
      const space = Math.max(26, (width - used - 40) / Math.max(1, columns.length - 1));
      let x = 20;
      columns.forEach((c, i) => {
        const wide = Math.max(...c.map((b) => b.w));
        let y = (height - need[i]) / 2;
        for (const b of c) { this.group(b.g, x + (wide - b.w) / 2, y, b.w, b.h, b.per, w, h, gap); y += b.h + 16; }
        x += wide + space;
      });
      this.svg.setAttribute("viewBox", `0 0 ${Math.max(width, x - space + 20)} ${height}`);
    }
    this.tall = tall;
    if (tall) this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.removeAttribute("height");
  }

  group(g, x, y, width, height, per, w, h, gap) {
    const box = tag("rect", { class: "group", x, y, width, height, rx: 14 });
    this.svg.insertBefore(box, this.under);
    const title = tag("text", { class: "dim", x: x + 11, y: y + 16 }, this.svg, g.name === "user" ? "outside" : g.name);
    if (g.doc) tag("title", {}, title, g.doc);
    g.hosts.forEach((host, i) => this.node(host.name, x + 10 + (i % per) * (w + gap), y + 24 + Math.floor(i / per) * (h + gap), w, h));
  }

  node(name, x, y, w, h) {
    const g = tag("g", { class: "node", tabindex: 0, role: "button", "data-host": name, transform: `translate(${x} ${y})` }, this.svg);
    tag("rect", { width: w, height: h, rx: 10 }, g);
    tag("circle", { cx: 14, cy: 17, r: 4.5 }, g);
    tag("text", { class: "name", x: 25, y: 21 }, g, name === "user" ? "users" : name);
    const line = tag("text", { class: "dim", x: 12, y: 38 }, g, "");
    g.addEventListener("click", () => this.choose(name));
    g.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); this.choose(name); } });
    this.nodes.set(name, { g, line, x, y, w, h });
  }

  update(s, chosen) {
    const put = (name, cls, text, label) => {
      const n = this.nodes.get(name);
      if (!n) return;
      n.g.setAttribute("class", "node" + cls + (chosen === name ? " on" : ""));
      n.g.setAttribute("aria-label", label);
      n.g.setAttribute("aria-pressed", chosen === name);
      n.line.textContent = text;
    };
    put("user", s.point.errors > 0 ? " errs" : "", `${short(s.point.rate)}/s · ${milli(s.point.p99)}`, "users");
    for (const h of s.hosts) {
      const cls = { up: h.errors > 0 ? " errs" : "", frozen: " cold", slow: " warn", starting: " warn" }[h.state];
      const busy = `${short(h.rate)}/s · ${milli(h.p99)}`;
      put(h.name, cls ?? " out", h.state === "up" ? busy : h.state, `${h.name}, ${h.state}, ${busy}`);
    }
    this.edges(s);
  }

  edges(s) {
    const seen = new Set(), dots = [];
    const add = (from, to, cls, wide, rate) => {
      const a = this.nodes.get(from), b = this.nodes.get(to), key = cls + from + ">" + to;
      if (!a || !b || seen.has(key)) return;
      seen.add(key);
      let p = this.paths.get(key);
      if (!p) {
        const c = this.curve(a, b);
        p = { c, e: tag("path", { d: `M${c[0]} ${c[1]}C${c.slice(2).join(" ")}` }, this.under), phase: ([...key].reduce((n, c) => (n * 31 + c.charCodeAt(0)) % 997, 7) * 0.618) % 1 };
        this.paths.set(key, p);
      }
      p.e.setAttribute("class", cls);
      p.e.setAttribute("stroke-width", wide);
      const n = Math.min(6, Math.ceil(rate / 15));
      for (let i = 0; i < n && dots.length < 240; i++) dots.push({ c: p.c, at: p.phase + i / n, bad: cls !== "edge" });
    };
    for (const e of s.edges) add(e.from, e.to, e.errors > 0 ? "edge bad" : "edge", Math.min(7, 1 + Math.log2(1 + e.rate / 8)), e.rate);
    for (const f of s.faults) {
      if (f.kind !== "partition" || f.to) continue;
      for (const a of this.at(f.a)) for (const b of this.at(f.b)) if (a !== b) add(a, b, "cut", 2, 0);
    }
    for (const [key, p] of this.paths) if (!seen.has(key)) { p.e.remove(); this.paths.delete(key); }
    this.dots = dots;
  }

  at(place) { return [...this.nodes.keys()].filter((n) => place === "*" || n === place || n.replace(/-\d+$/, "") === place).slice(0, 12); }

  curve(a, b) {
    if (this.tall) {
      const x0 = a.x + a.w / 2, y0 = a.y + a.h, x1 = b.x + b.w / 2, y1 = b.y, k = Math.max(18, Math.abs(y1 - y0) / 2);
      return [x0, y0, x0, y0 + k, x1, y1 - k, x1, y1];
    }
    const x0 = a.x + a.w, y0 = a.y + a.h / 2, x1 = b.x, y1 = b.y + b.h / 2, k = Math.max(24, Math.abs(x1 - x0) / 2);
    return [x0, y0, x0 + k, y0, x1 - k, y1, x1, y1];
  }

  move(t) {
    const list = this.moving?.childNodes;
    if (!list) return;
    while (list.length < this.dots.length) tag("circle", { r: 2.6 }, this.moving);
    while (list.length > this.dots.length) this.moving.lastChild.remove();
    this.dots.forEach((d, i) => {
      const u = (t / 1400 + d.at) % 1, v = 1 - u, c = d.c, k = [v * v * v, 3 * v * v * u, 3 * v * u * u, u * u * u];
      list[i].setAttribute("cx", k[0] * c[0] + k[1] * c[2] + k[2] * c[4] + k[3] * c[6]);
      list[i].setAttribute("cy", k[0] * c[1] + k[1] * c[3] + k[2] * c[5] + k[3] * c[7]);
      list[i].setAttribute("class", d.bad ? "load bad" : "load");
    });
  }
}

// The strip: rate and errors share a scale, p99 has its own.
function timeline(svg, points, faults, now) {
  const width = svg.clientWidth || 600, height = 132, left = 4, foot = 18, span = 180;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const from = Math.max(0, now - span), over = Math.max(30, Math.min(span, now));
  const x = (t) => left + Math.max(0, (t - from) / over) * (width - 2 * left);
  const top = Math.max(1, ...points.map((p) => p.rate)) * 1.15, slow = Math.max(1, ...points.map((p) => p.p99)) * 1.15;
  const y = (v, max) => (height - foot) * (1 - v / max) + 2;
  for (const f of faults) {
    const end = f.to || now;
    if (end < from) continue;
    const r = tag("rect", { class: "band" + (f.to ? "" : " now"), x: x(f.from), y: 0, width: Math.max(3, x(end) - x(f.from)), height: height - foot, rx: 3 }, svg);
    tag("title", {}, r, f.text);
  }
  for (let t = Math.ceil(from / 30) * 30; t <= from + over; t += 30) {
    tag("line", { class: "grid", x1: x(t), x2: x(t), y1: 0, y2: height - foot }, svg);
    tag("text", { class: "axis", x: x(t) + 3, y: height - 4 }, svg, clock(t).replace(".0", ""));
  }
  const line = (of, max) => points.map((p, i) => (i ? "L" : "M") + x(p.t).toFixed(1) + " " + y(p[of], max).toFixed(1)).join("");
  if (points.length > 1) {
    const close = `L${x(points.at(-1).t)} ${height - foot}L${x(points[0].t)} ${height - foot}Z`;
    tag("path", { class: "p-rate", d: line("rate", top) + close }, svg);
    if (points.some((p) => p.errors > 0)) tag("path", { class: "p-errors", d: line("errors", top) + close }, svg);
    tag("path", { class: "p-p99", d: line("p99", slow) }, svg);
  }
  tag("text", { class: "axis", x: 8, y: 14 }, svg, `${short(top / 1.15)}/s`);
  tag("text", { class: "axis", x: width - 8, y: 14, "text-anchor": "end" }, svg, milli(slow / 1.15));
}
