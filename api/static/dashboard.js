"use strict";
// Everything that comes from the server is put on the page as text, never as
// markup, and the page may load nothing from anywhere (see its policy).
const $ = (id) => document.getElementById(id);
const KEY = "nexus.key";

function el(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {})) {
    if (k === "class") e.className = v;
    else if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else e[k] = v;
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

// ---- talking to the server

class Fault extends Error {
  constructor(status, body) {
    super(body.detail || "status " + status);
    this.status = status;
    this.body = body;
  }
}

async function call(method, path, body, headers) {
  const h = Object.assign({ Accept: "application/json" }, headers);
  const key = sessionStorage.getItem(KEY);
  if (key) h.Authorization = "Bearer " + key;
  if (body !== undefined) h["Content-Type"] = "application/json";
  let res;
  try {
    res = await fetch(path, { method, headers: h, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  } catch (e) {
    throw new Fault(0, { detail: "The server cannot be reached." });
  }
  const data = await res.json().catch(() => ({ detail: "status " + res.status }));
  if (res.status === 401) askForKey(data.detail);
  if (!res.ok) throw new Fault(res.status, data);
  return data;
}

function askForKey(why) {
  $("keyform").hidden = false;
  $("keybutton").setAttribute("aria-expanded", "true");
  notice(why || "An API key is needed.");
}

function notice(text) {
  $("notice").textContent = text || "";
  $("notice").hidden = !text;
}

// ---- small words

const count = (n) => new Intl.NumberFormat("en").format(n);
const percent = (x) => (100 * x).toFixed(x > 0 && x < 0.1 ? 1 : 0) + " %";
const number = (x) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2));
const many = (n, one) => count(n) + " " + one + (n === 1 ? "" : "s");
const short = (id) => (id ? id.slice(-8) : "none");

function age(seconds) {
  if (seconds < 90) return Math.round(seconds) + " s";
  if (seconds < 5400) return Math.round(seconds / 60) + " min";
  if (seconds < 172800) return Math.round(seconds / 3600) + " h";
  return Math.round(seconds / 86400) + " d";
}

function spark(svg, values) {
  const most = Math.max(...values, 1e-9);
  const step = 120 / Math.max(values.length - 1, 1);
  const points = values.map((v, i) => (i * step).toFixed(1) + " " + (26 - (24 * v) / most).toFixed(1));
  const path = (cls, d) => {
    const p = document.createElementNS("http://www.w3.org/2000/svg", "path");
    p.setAttribute("class", cls);
    p.setAttribute("d", d);
    return p;
  };
  svg.replaceChildren(path("area", "M0 28 L" + points.join(" L") + " L120 28 Z"), path("edge", "M" + points.join(" L")));
}

// ---- state

const history = { rate: [], latency: [] };
let last = null;

function remember(list, v) {
  list.push(v);
  if (list.length > 60) list.shift();
}

function show(s) {
  last = s;
  const q = s.metrics.requests, lat = s.metrics.latency.request;
  $("health").textContent = s.health.status;
  $("health").className = "pill " + s.health.status;
  $("mode").hidden = false;
  $("mode").textContent = s.daemon.paused ? "learning paused" : "learning " + (s.control.training ? s.resources.mode : "stopped");
  $("issues").className = "issues " + s.health.status;
  $("issues").hidden = s.health.issues.length === 0;
  $("issues").replaceChildren(...s.health.issues.map((i) => el("li", {}, i)));

  remember(history.rate, q.rate_per_second);
  remember(history.latency, lat.p50_ms);
  spark($("rateline"), history.rate);
  spark($("latencyline"), history.latency);
  $("rate").textContent = number(q.rate_per_second);
  $("total").textContent = count(q.total) + " in all, " + percent(q.success_rate) + " served";
  $("p50").textContent = lat.count ? number(lat.p50_ms) : "–";
  $("p99").textContent = lat.count ? "p95 " + number(lat.p95_ms) + ", p99 " + number(lat.p99_ms) : "no request yet";
  $("refusal").textContent = q.answered + q.refused ? percent(q.refusal_rate) : "–";
  $("refusalbar").style.width = 100 * q.refusal_rate + "%";
  $("reasons").textContent = Object.entries(q.refusals).sort((a, b) => b[1] - a[1]).slice(0, 2).map(([r, n]) => r.replaceAll("_", " ") + " " + count(n)).join(" · ") || "none refused";
  $("lessons").textContent = count(s.model.lessons);
  const topics = Object.keys(s.model.topics).sort();
  $("topics").textContent = topics.length ? many(topics.length, "topic") + ", " + many(s.model.answers, "answer") : "nothing taught yet";
  $("workers").textContent = s.workers.length;
  $("busy").textContent = s.workers.reduce((n, w) => n + w.busy, 0) + " of " + s.workers.reduce((n, w) => n + w.slots, 0) + " slots busy";
  const lanes = Object.entries(s.queues);
  $("waiting").textContent = count(lanes.reduce((n, [, l]) => n + l.pending, 0));
  $("lanes").textContent = many(lanes.reduce((n, [, l]) => n + l.active, 0), "job") + " running";

  $("pause").disabled = $("train").disabled = false;
  $("pause").textContent = s.daemon.paused ? "Resume learning" : "Pause learning";
  showTopics(topics);
  showModel(s);
  showWorkers(s);
  showQueues(lanes);
  $("about").textContent = "Version " + (s.daemon.version || "unknown") + " · up " + age(s.daemon.uptime_seconds) + " · Redis " + s.redis.rung +
    " · " + number(s.memory.process.current_mb) + " MB · CPU " + number(s.resources.cpu_percent) + " %";
}

function showTopics(topics) {
  const sel = $("asktopic");
  const want = ["", ...topics];
  if (want.length === sel.options.length && want.every((t, i) => sel.options[i].value === t)) return;
  const chosen = sel.value;
  sel.replaceChildren(...want.map((t) => el("option", { value: t }, t || "any")));
  sel.value = want.includes(chosen) ? chosen : "";
}

// successor tells of the model that is trained to follow the one that serves.
function successor(n) {
  if (!n) return [];
  const how = {
    waiting: "waits for its turn", training: "is trained, step " + count(n.done) + " of " + count(n.total),
    judging: "is judged", kept_out: "was kept out: " + n.why,
  };
  return [["Successor", n.architecture + ", " + n.size + " " + how[n.state]]];
}

function showModel(s) {
  const m = s.model, facts = [
    ["Architecture", m.architecture ? m.architecture + ", " + m.size + ", " + count(m.parameters) + " parameters" : "no model yet"],
    ["Threshold", m.confidence_threshold.toFixed(3) + " for at most " + percent(m.target_error) + " wrong"],
    ["Flow", number(s.metrics.flow.average_depth) + " steps on average, " + percent(s.metrics.flow.convergence_rate) + " converged"],
    ["Checkpoint", m.checkpoint || "none yet"],
    ...successor(m.successor),
    ["Memory", number(s.memory.process.current_mb) + " MB, peak " + number(s.memory.process.peak_mb) + ", growing " + number(s.memory.process.growth_rate_mb_per_hour) + " an hour"],
  ];
  const open = Object.entries(s.circuit_breakers).filter(([, b]) => b.state !== "closed");
  if (open.length) facts.push(["Breakers", open.map(([n, b]) => n + " " + b.state).join(", ")]);
  $("model").replaceChildren(...facts.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]));
  const list = s.checkpoints.slice(0, 5).map((c) => el("tr", {},
    el("td", { class: "mono", title: c.id }, short(c.id)),
    el("td", {}, new Date(c.created_at).toLocaleString()),
    el("td", { class: "num" }, many(c.lessons, "lesson")),
    el("td", {}, c.head ? el("span", { class: "tag succeeded" }, "served") : el("button", { type: "button", class: "small", onclick: () => promote(c) }, "Serve this"))));
  $("checkpoints").replaceChildren(list.length ? el("div", { class: "scroll" }, el("table", {}, ...list)) : el("p", { class: "empty" }, "None yet."));
}

// row makes a table row; columns named in right are figures.
function row(cells, right, head) {
  return el("tr", {}, ...cells.map((c, i) => el(head ? "th" : "td", { class: right.includes(i) ? "num" : "" }, typeof c === "number" ? count(c) : c)));
}

function showWorkers(s) {
  const rows = s.workers.map((w) => row([w.host, w.device || "cpu", w.mode + (w.mode_reason ? ": " + w.mode_reason : ""), w.busy + " / " + w.slots, w.trainer ? "trainer" : "", short(w.checkpoint)], [3]));
  $("workerlist").replaceChildren(rows.length ? el("table", {}, row(["Worker", "Device", "Mode", "Busy", "", "Serves"], [3], true), ...rows) : el("p", { class: "empty" }, "No worker is running."));
}

function showQueues(lanes) {
  const rows = lanes.sort().map(([name, l]) => row([name, l.pending, l.active, l.delayed, number(l.oldest_ms / 1000) + " s", l.paused ? l.reason || "paused" : ""], [1, 2, 3, 4]));
  $("queuelist").replaceChildren(el("table", {}, row(["Queue", "Waiting", "Running", "Resting", "Oldest", ""], [1, 2, 3, 4], true), ...rows));
}

// ---- jobs

function showJobs(jobs) {
  if (!jobs.length) {
    $("jobs").replaceChildren(el("p", { class: "empty" }, "No train job yet."));
    return;
  }
  $("jobs").replaceChildren(...jobs.map((j) => {
    const p = j.progress, running = j.state === "running" || j.state === "queued";
    const bar = el("i");
    bar.style.width = (p.total ? Math.min(100, (100 * p.done) / p.total) : j.state === "succeeded" ? 100 : 0) + "%";
    return el("div", { class: "job" },
      el("header", {},
        el("span", { class: "name" }, j.topic || "all topics"),
        el("span", { class: "tag " + j.state }, j.state),
        el("span", { class: "gap" }),
        running ? el("button", { type: "button", class: "small", onclick: () => cancel(j) }, "Cancel") : null),
      running ? el("div", { class: "bar" }, bar) : null,
      el("small", {}, jobWords(j)));
  }));
}

function jobWords(j) {
  if (j.waiting_for) return j.waiting_for;
  if (j.error) return j.error.detail;
  const r = j.result;
  if (r) {
    const words = [];
    if (r.lessons_taken) words.push(many(r.lessons_taken, "lesson") + " taken");
    if (r.lessons_known) words.push(count(r.lessons_known) + " known before");
    if (r.lessons_removed) words.push(count(r.lessons_removed) + " unlearned");
    if (r.lessons_skipped) words.push(count(r.lessons_skipped) + " skipped");
    if (r.steps) words.push(many(r.steps, "step"));
    if (r.after) words.push(percent(r.after.accuracy) + " right on held-out prompts");
    if (r.why) words.push(r.why);
    return words.join(" · ") || "done";
  }
  const p = j.progress;
  return [p.phase, p.total ? count(p.done) + " of " + count(p.total) : "", p.message].filter(Boolean).join(" · ") || "waiting to start";
}

async function cancel(j) {
  await attempt(() => call("DELETE", "/api/jobs/" + j.id));
  refresh();
}

async function promote(c) {
  if (!confirm("Serve checkpoint " + c.id + " with its " + many(c.lessons, "lesson") + "?")) return;
  await attempt(() => call("POST", "/api/checkpoints/" + c.id + "/promote"));
  refresh();
}

async function attempt(f) {
  try {
    const v = await f();
    notice("");
    return v;
  } catch (e) {
    notice(e.message);
    return null;
  }
}

// ---- ask

const REASONS = {
  untaught: "nothing has been taught yet",
  low_confidence: "not sure enough",
  ambiguous: "two answers are too close to each other",
  unfamiliar: "this is unlike anything taught",
  taught_refusal: "it was taught to refuse this",
  not_converged: "the state did not settle",
};

function showAnswer(a) {
  const fill = el("i"), tick = el("u");
  fill.style.width = 100 * Math.min(1, Math.max(0, a.confidence)) + "%";
  tick.style.left = 100 * Math.min(1, Math.max(0, a.threshold)) + "%";
  const feedback = el("span", {});
  feedback.append(
    el("button", { type: "button", class: "small", onclick: () => judge(a, true, feedback) }, "Right"), " ",
    el("button", { type: "button", class: "small", onclick: () => judge(a, false, feedback) }, "Wrong"));
  const box = $("answer");
  box.className = "answer" + (a.responded ? "" : " refused");
  box.hidden = false;
  box.replaceChildren(...[
    el("div", { class: "verdict" }, a.responded ? "Answered" + (a.topic ? " from " + a.topic : "") : "Refused: " + (REASONS[a.reason] || a.reason)),
    el("p", { class: "text" }, a.response),
    el("div", { class: "gauge", title: "confidence and threshold" }, fill, tick),
    el("div", { class: "legend" }, el("span", {}, "confidence " + a.confidence.toFixed(3)), el("span", {}, "threshold " + a.threshold.toFixed(3))),
    a.sources.length ? el("h3", {}, a.responded ? "Sources" : "Nearest lessons") : null,
    el("ul", { class: "sources" }, ...a.sources.map((s) => el("li", {}, el("span", {}, s.prompt), el("span", {}, s.similarity.toFixed(3))))),
    el("p", { class: "meta" },
      el("span", {}, "depth " + a.flow.depth + (a.flow.converged ? ", converged" : ", not converged")),
      el("span", {}, number(a.timing.total_ms) + " ms, computing " + number(a.timing.compute_ms)),
      el("span", { class: "gap" }), feedback),
  ].filter(Boolean));
}

async function judge(a, correct, where) {
  const body = { correct };
  if (!correct) {
    const right = prompt("What is the right answer? Leave it empty if you only want to say that this was wrong.");
    if (right === null) return;
    if (right.trim()) body.response = right;
  }
  const done = await attempt(() => call("POST", "/api/interactions/" + a.interaction_id + "/feedback", body));
  if (done) where.replaceChildren(done.job ? "thank you, learning it" : "thank you");
}

$("ask").addEventListener("submit", async (ev) => {
  ev.preventDefault();
  const body = { prompt: $("prompt").value };
  if ($("asktopic").value) body.topic = $("asktopic").value;
  const button = ev.target.querySelector("button.main");
  button.disabled = true;
  try {
    let a = await call("POST", "/api/interact", body);
    if (a.state) a = await ended(a);
    showAnswer(a);
    notice("");
    $("prompt").select();
  } catch (e) {
    notice(e.message);
  }
  button.disabled = false;
  refresh();
});

$("prompt").addEventListener("keydown", (ev) => {
  if (ev.key === "Enter" && !ev.shiftKey) {
    ev.preventDefault();
    $("ask").requestSubmit();
  }
});

async function ended(job) {
  for (;;) {
    const j = await call("GET", "/api/jobs/" + job.id);
    if (j.state === "succeeded") return j.result;
    if (j.error) throw new Error(j.error.detail);
    await new Promise((r) => setTimeout(r, 500));
  }
}

// ---- teach

$("refuse").addEventListener("change", () => { $("response").disabled = $("refuse").checked; });

$("teach").addEventListener("submit", async (ev) => {
  ev.preventDefault();
  const said = (text, cls) => {
    $("taught").textContent = text;
    $("taught").className = "result " + (cls || "");
    $("taught").hidden = false;
  };
  const response = $("refuse").checked ? null : $("response").value;
  if (response !== null && !response.trim()) return said("Write the answer, or choose to refuse.", "bad");
  const lessons = $("phrasings").value.split("\n").filter((l) => l.trim()).map((prompt) => ({ prompt, response }));
  if (!lessons.length) return said("Write at least one prompt.", "bad");
  const body = { lessons };
  if ($("teachtopic").value.trim()) body.topic = $("teachtopic").value.trim();
  said("Storing…");
  try {
    let j = await call("POST", "/api/lessons", body);
    said("Stored. Waiting for the trainer…");
    const learned = many(lessons.length, "lesson") + (lessons.length === 1 ? " answers" : " answer");
    while (["queued", "running"].includes(j.state) && !["memorised", "consolidating", "judging", "done"].includes(j.progress.phase)) {
      await new Promise((r) => setTimeout(r, 300));
      j = await call("GET", "/api/jobs/" + j.id);
      if (j.waiting_for) said("Stored. " + j.waiting_for);
    }
    if (j.state === "failed" || j.state === "canceled") said(j.error ? j.error.detail : "It was canceled.", "bad");
    else said(learned + " from now on.", "good");
    notice("");
  } catch (e) {
    said(e.message, "bad");
  }
  refresh();
});

// ---- steering

$("pause").addEventListener("click", async () => {
  await attempt(() => call("POST", "/api/control", { action: last && last.daemon.paused ? "resume" : "pause" }));
  refresh();
});

$("train").addEventListener("click", () => $("traindialog").showModal());
$("traincancel").addEventListener("click", () => $("traindialog").close());
$("trainstop").addEventListener("click", async () => {
  $("traindialog").close();
  await attempt(() => call("POST", "/api/control", { action: "train_stop" }));
  refresh();
});
$("trainform").addEventListener("submit", async () => {
  const body = { action: "train_start" };
  if ($("traintopic").value.trim()) body.topic = $("traintopic").value.trim();
  await attempt(() => call("POST", "/api/control", body));
  refresh();
});

// ---- the key

$("keybutton").addEventListener("click", () => {
  $("keyform").hidden = !$("keyform").hidden;
  $("keybutton").setAttribute("aria-expanded", String(!$("keyform").hidden));
  if (!$("keyform").hidden) $("key").focus();
});
$("keyform").addEventListener("submit", (ev) => {
  ev.preventDefault();
  sessionStorage.setItem(KEY, $("key").value.trim());
  $("key").value = "";
  $("keyform").hidden = true;
  notice("");
  refresh();
});
$("keyforget").addEventListener("click", () => {
  sessionStorage.removeItem(KEY);
  $("keyform").hidden = true;
  refresh();
});

// ---- the beat

let timer = 0, turn = 0;
async function refresh() {
  clearTimeout(timer);
  const mine = ++turn;
  try {
    const [s, jobs] = await Promise.all([call("GET", "/api/status"), call("GET", "/api/jobs?kind=train&limit=6").catch(() => null)]);
    if (mine !== turn) return;
    if ($("health").textContent === "unreachable") notice("");
    show(s);
    if (jobs) showJobs(jobs.jobs);
  } catch (e) {
    if (mine !== turn) return;
    $("health").className = "pill unhealthy";
    $("health").textContent = e.status === 401 ? "key needed" : "unreachable";
    if (e.status !== 401) notice(e.message);
  }
  timer = setTimeout(() => { if (document.hidden) timer = setTimeout(refresh, 5000); else refresh(); }, 2000);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
