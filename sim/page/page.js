let hello = null, last = null, chosen = "", points = [], turning = false;

const buttons = [
  ["Kill", "crash H", "k"], ["Cut power", "powercut H", "c"], ["Restart", "restart H", "r"],
  ["Freeze", "pause H", "f"], ["Slow", "slow H 100ms", "s"], ["Lose replies", "lose-reply H 0.5", "l"],
  ["Partition", "partition H <-> O", "p"], ["Loss 30 %", "loss H <-> O 0.3", "o"], ["Registry outage", "registry-down", "g"],
];
const draw = new Topology($("topology"), choose);

function choose(name) {
  chosen = name;
  $("chosen").textContent = name === "user" ? "the users' side" : name;
  paint();
}

async function ask(method, path, body) {
  let text = "", bad = true;
  try {
    const r = await fetch(path, { method, body });
    bad = !r.ok;
    if (bad) text = await r.text();
  } catch { text = "the fleet can't be reached"; }
  return { bad, text };
}

function say(text, bad) {
  $("said").textContent = text;
  $("said").className = bad ? "bad" : "";
}

async function inject(pattern) {
  const lasting = $("lasting").value;
  const text = pattern.replace("H", chosen).replace("O", $("other").value) + (lasting ? " for " + lasting : "");
  const r = await ask("POST", "faults", text);
  say(r.bad ? r.text : text, r.bad);
}

for (const [label, pattern, key] of buttons) {
  const b = document.createElement("button");
  b.type = "button";
  b.textContent = label;
  b.title = "key " + key;
  b.dataset.fault = pattern.split(" ")[0];
  b.dataset.place = pattern.includes("H") ? "host" : "";
  b.addEventListener("click", () => inject(pattern));
  $("faults").append(b);
}

document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(SELECT|INPUT)$/.test(e.target.tagName)) return;
  const i = buttons.findIndex((b) => b[2] === e.key);
  if (i >= 0 && !$("faults").children[i].disabled) inject(buttons[i][1]);
});

const rateOf = () => { const r = 10 ** Number($("rate").value); return r < 100 ? Math.round(r) : Math.round(r / 10) * 10; };
$("rate").addEventListener("input", () => { $("rate-text").textContent = rateOf(); });
$("rate").addEventListener("change", async () => {
  const r = await ask("POST", "load", JSON.stringify({ rate: rateOf() }));
  say(r.bad ? r.text : `${rateOf()} requests/s`, r.bad);
});
$("policy").addEventListener("change", async () => {
  turning = true;
  say("Instances restart in turn to share calls by " + $("policy").value);
  const r = await ask("POST", "balance", JSON.stringify({ policy: $("policy").value }));
  turning = false;
  say(r.bad ? r.text : "Calls are shared by " + $("policy").value, r.bad);
});

function option(select, value, text) {
  const o = document.createElement("option");
  o.value = value;
  o.textContent = text ?? value;
  select.append(o);
}

function begin(h) {
  hello = h;
  document.title = "app sim " + h.scenario;
  $("scenario").textContent = h.scenario;
  const known = new Set(points.map((p) => p.n));
  points = points.concat(h.points.filter((p) => !known.has(p.n)));
  $("policy").replaceChildren();
  h.policies.forEach((p) => option($("policy"), p));
}

function others() {
  const names = ["*", ...hello.roles.map((r) => r.name), ...last.hosts.map((h) => h.name), "user"].filter((n) => n !== chosen);
  const key = names.join();
  if ($("other").dataset.key === key) return;
  const was = $("other").value;
  $("other").dataset.key = key;
  $("other").replaceChildren();
  names.forEach((n) => option($("other"), n, n === "*" ? "all" : n));
  if (names.includes(was)) $("other").value = was;
}

function paint() {
  if (!hello || !last) return;
  const s = last, p = s.point;
  if (!chosen && s.hosts.length) { choose(s.hosts[0].name); return; }
  draw.layout(hello.roles, s.hosts);
  draw.update(s, chosen);
  timeline($("timeline"), points, s.faults, s.time);
  $("clock").textContent = `${clock(s.time)} of ${clock(hello.whole)}${s.healed ? " · all is healed" : ""}${s.violations.length ? " · " + s.violations[0] : ""}`;
  $("k-rate").textContent = short(p.rate);
  $("k-errors").textContent = short(p.errors);
  $("k-errors").className = p.errors > 0 ? "bad" : "";
  $("k-p99").textContent = milli(p.p99);
  $("k-lost").textContent = `${s.lost}`;
  const h = s.hosts.find((h) => h.name === chosen);
  $("facts").textContent = h ? `${h.state} · ${short(h.rate)}/s · p99 ${milli(h.p99)} · ${h.flight} in flight · ${h.failed} of ${h.calls} failed` : "partition and loss only";
  for (const b of $("faults").children) b.disabled = s.healed || (b.dataset.place && !h && !["partition", "loss"].includes(b.dataset.fault));
  others();
  if (document.activeElement !== $("rate")) {
    $("rate").disabled = !s.rate;
    if (s.rate) { $("rate").value = Math.log10(s.rate); $("rate-text").textContent = short(s.rate); }
  }
  if (!turning && document.activeElement !== $("policy")) $("policy").value = (s.balance || hello.policies[0]).split(":")[0];
  active(s);
  rows(s);
}

function active(s) {
  const list = s.faults.filter((f) => !f.to), ul = $("active"), key = list.map((f) => f.text + f.id).join();
  if (ul.dataset.key !== key || !ul.firstChild) {
    ul.dataset.key = key;
    ul.replaceChildren();
    for (const f of list) {
      const li = document.createElement("li"), text = document.createElement("span");
      li.append(text);
      if (f.id) {
        const b = document.createElement("button");
        b.type = "button";
        b.textContent = "Heal";
        b.addEventListener("click", async () => { const r = await ask("DELETE", "faults/" + f.id); if (r.bad) say(r.text, true); });
        li.append(b);
      }
      ul.append(li);
    }
    if (!list.length) { const li = document.createElement("li"); li.className = "none"; li.textContent = "Nothing is broken."; ul.append(li); }
  }
  list.forEach((f, i) => { ul.children[i].firstChild.textContent = f.text + (f.due ? ` · ${Math.max(0, f.due - s.time).toFixed(0)} s left` : ""); });
}

function rows(s) {
  const body = $("rows");
  while (body.children.length < s.hosts.length) {
    const tr = document.createElement("tr");
    for (let i = 0; i < 7; i++) tr.append(document.createElement("td"));
    tr.addEventListener("click", () => choose(tr.dataset.host));
    body.append(tr);
  }
  s.hosts.forEach((h, i) => {
    const tr = body.children[i];
    tr.dataset.host = h.name;
    tr.className = h.name === chosen ? "on" : "";
    [h.name, h.state, short(h.rate), short(h.errors), milli(h.p99), h.flight, h.calls].forEach((v, c) => { tr.children[c].textContent = v; });
  });
}

const events = new EventSource("events");
events.addEventListener("hello", (e) => begin(JSON.parse(e.data)));
events.addEventListener("sample", (e) => {
  last = JSON.parse(e.data);
  if (last.point.n !== points.at(-1)?.n) points.push(last.point);
  while (points.length && points[0].t < last.time - 180) points.shift();
  paint();
});
events.onopen = () => { $("dot").className = "live"; };
events.onerror = () => { $("dot").className = "gone"; if (last) $("clock").textContent = "the run has ended, or can't be reached"; };
addEventListener("resize", paint);
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
  const frame = (t) => { draw.move(t); requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}
