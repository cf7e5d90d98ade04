// Keeps a page true while it is looked at. Nothing moves under the cursor: what is there changes in place,
// what is new is announced, and shown when it is asked for.
import { showTimes } from "./app.js";

const main = document.querySelector("main");
const { stream, live } = main.dataset;
const news = document.querySelector("#news");
const sign = document.querySelector("#live");
const fresh = new Set();
let source = null;

// --- loading the page again, and taking over what differs

let loading = null;
let again = false;

// Ask for the page anew; `whole` also takes over rows that are new or gone.
export async function refresh(whole = false) {
  if (loading) {
    again = again || whole;
    return loading;
  }
  loading = load(whole);
  try {
    await loading;
  } finally {
    loading = null;
  }
  if (again) {
    again = false;
    await refresh(true);
  }
}

async function load(whole) {
  let answer;
  try {
    answer = await fetch(location.href, { headers: { accept: "text/html" } });
  } catch {
    return; // the stream tells whether the server is there
  }
  if (answer.redirected && new URL(answer.url).pathname !== location.pathname) return location.assign(answer.url);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-part]")) takePart(part, page.getElementById(part.id));
  for (const rows of document.querySelectorAll("[data-rows]")) takeRows(rows, page.getElementById(rows.id), whole);
  if (page.querySelector("#p-progress[hidden]")) document.querySelector("#p-progress").hidden = true;
  if (whole) {
    fresh.clear();
    tellNews();
  }
}

function takePart(part, other) {
  if (!other) return;
  showTimes(other);
  if (part.innerHTML === other.innerHTML && part.hidden === other.hidden) return;
  const focused = part.contains(document.activeElement) ? path(document.activeElement, part) : null;
  const closed = keysOf(part, false);
  const open = keysOf(part, true);
  part.replaceChildren(...document.importNode(other, true).childNodes);
  part.hidden = other.hidden;
  for (const details of part.querySelectorAll("details[data-key]")) {
    if (open.has(details.dataset.key)) details.open = true;
    if (closed.has(details.dataset.key)) details.open = false;
  }
  if (focused) found(focused, part)?.focus();
}

function keysOf(part, open) {
  return new Set([...part.querySelectorAll("details[data-key]")].filter((one) => one.open === open).map((one) => one.dataset.key));
}

function path(node, top) {
  const steps = [];
  for (let at = node; at !== top; at = at.parentElement) steps.unshift([...at.parentElement.children].indexOf(at));
  return steps;
}

function found(steps, top) {
  return steps.reduce((at, step) => at?.children[step], top);
}

function takeRows(rows, other, whole) {
  if (!other) return;
  showTimes(other);
  const theirs = new Map([...other.children].map((row) => [row.dataset.key, row]));
  const mine = new Map([...rows.children].map((row) => [row.dataset.key, row]));
  if (whole) {
    const kept = [...theirs].map(([key, row]) => {
      const old = mine.get(key);
      if (!old) return document.importNode(row, true);
      old.classList.remove("gone");
      takePart(old, row);
      old.className = row.className;
      return old;
    });
    if (kept.length !== rows.children.length || kept.some((row, n) => rows.children[n] !== row)) rows.replaceChildren(...kept);
    document.querySelectorAll("main .empty").forEach((empty) => empty.parentElement.contains(rows) && kept.length && empty.remove());
    return;
  }
  for (const [key, row] of mine) {
    const now = theirs.get(key);
    row.classList.toggle("gone", !now);
    if (now) takePart(row, now);
  }
  for (const key of theirs.keys()) if (!mine.has(key)) fresh.add(key);
  tellNews();
}

function tellNews() {
  news.hidden = fresh.size === 0;
  news.textContent = `${fresh.size} new – show`;
}

news.addEventListener("click", () => {
  news.hidden = true;
  refresh(true);
  main.focus({ preventScroll: true });
});

// At most once in so many milliseconds, and once more at the end.
function calmly(work, pause) {
  let waiting = null;
  let last = 0;
  return () => {
    if (waiting) return;
    waiting = setTimeout(() => {
      waiting = null;
      last = Date.now();
      work();
    }, Math.max(0, last + pause - Date.now()));
  };
}

const soon = calmly(() => refresh(), 1000);
const later = calmly(() => refresh(), 4000);
// Requests are shown by a script of their own, which decides when they may change.
const heard = calmly(() => {
  refresh();
  document.dispatchEvent(new Event("jobs-changed"));
}, 2000);

// --- the list of jobs: rows change by what the stream tells

function cell(row, name) {
  return row.querySelector(`[data-cell="${name}"]`);
}

function span(seconds) {
  if (seconds === null) return "–";
  if (seconds < 0.1) return `${Math.round(seconds * 1000)}\u202fms`;
  if (seconds < 10) return `${Number(seconds.toPrecision(2))}\u202fs`;
  const whole = Math.round(seconds);
  const two = (a, unit, b, small) => `${a}\u202f${unit}${b ? ` ${b}\u202f${small}` : ""}`;
  if (whole >= 86400) return two(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
  if (whole >= 3600) return two(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  if (whole >= 60) return two(Math.floor(whole / 60), "min", whole % 60, "s");
  return `${whole}\u202fs`;
}

function takeJob(job) {
  const row = document.querySelector(`tr[data-key="${CSS.escape(job.id)}"]`);
  if (!row) return fresh.add(job.id);
  const badge = cell(row, "state").firstElementChild;
  if (badge.textContent !== job.state) {
    badge.textContent = job.state;
    badge.className = `badge ${job.state}`;
    row.classList.remove("changed");
    void row.offsetWidth; // the animation begins anew
    row.classList.add("changed");
  }
  row.classList.remove("gone");
  cell(row, "attempt").textContent = job.attempt;
  cell(row, "took").textContent = span(job.seconds);
  cell(row, "error").textContent = job.error || "";
  if (job.state !== "running") cell(row, "progress").replaceChildren();
  const time = cell(row, "when").querySelector("time");
  const waits = job.state === "scheduled" || job.state === "retrying";
  time.dateTime = job.finished || (waits && job.eta) || job.started || job.created;
  cell(row, "due").hidden = !waits;
  showTimes(row);
}

function takeProgress(one, place) {
  if (!place) return;
  let bar = place.querySelector("progress");
  if (!bar) {
    const whole = document.createElement("span");
    whole.className = "progress";
    bar = document.createElement("progress");
    bar.max = 100;
    bar.setAttribute("aria-label", "Progress");
    const percent = Object.assign(document.createElement("span"), { className: "num" });
    percent.dataset.cell = "percent";
    const message = Object.assign(document.createElement("span"), { className: "muted" });
    message.dataset.cell = "message";
    whole.append(bar, " ", percent, " ", message);
    place.append(whole);
  }
  if (one.percentage === null) bar.removeAttribute("value");
  else bar.value = one.percentage;
  cell(place, "percent").textContent = one.percentage === null ? one.current : `${one.percentage} %`;
  cell(place, "message").textContent = one.message;
}

// --- one job

function takeLine(line) {
  const log = document.querySelector("#log");
  if (line.n <= Number(log.dataset.last)) return;
  const low = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
  const item = document.createElement("li");
  item.className = line.level.toLowerCase();
  const time = document.createElement("time");
  time.dateTime = line.at;
  time.dataset.form = "clock";
  const level = document.createElement("b");
  level.textContent = line.level;
  const text = document.createElement("span");
  text.textContent = line.message;
  item.append(time, " ", level, " ", text);
  log.append(item);
  log.dataset.last = line.n;
  log.hidden = false;
  document.querySelector("#log-empty").hidden = true;
  if (low) log.scrollTop = log.scrollHeight;
}

const takers = {
  jobs: {
    jobs: ({ jobs, gone = [] }) => {
      const left = new Set(gone);
      for (const job of jobs) if (!left.has(job.id) || document.querySelector(`tr[data-key="${CSS.escape(job.id)}"]`)) takeJob(job);
      for (const id of left) {
        fresh.delete(id);
        document.querySelector(`tr[data-key="${CSS.escape(id)}"]`)?.classList.add("gone");
      }
      tellNews();
    },
    progress: ({ progress }) => {
      for (const one of progress) {
        const row = document.querySelector(`tr[data-key="${CSS.escape(one.job)}"]`);
        if (row && cell(row, "state").textContent === "running") takeProgress(one, cell(row, "progress"));
      }
    },
  },
  job: {
    jobs: soon,
    progress: ({ progress }) => {
      const place = document.querySelector("#p-progress");
      const over = ["succeeded", "dead", "cancelled"].includes(document.querySelector("#p-title .badge").textContent);
      for (const one of progress) takeProgress(one, place);
      place.hidden = over;
    },
    log: ({ lines }) => lines.forEach((line) => { takeLine(line); showTimes(document.querySelector("#log").lastElementChild); }),
  },
  page: { overview: later },
  people: { jobs: heard, reset: heard },
};

// --- the stream

let last = null;
let first = true;

function show(text, off) {
  sign.hidden = false;
  sign.textContent = text;
  sign.classList.toggle("off", off);
}

function open() {
  if (source || document.hidden) return;
  const url = new URL(stream, location.href);
  if (last !== null) url.searchParams.set("last", last);
  source = new EventSource(url);
  const taker = takers[live];
  const on = (name, work) => source.addEventListener(name, (event) => {
    if (event.lastEventId) last = event.lastEventId;
    work(event.data ? JSON.parse(event.data) : {});
  });
  for (const [name, work] of Object.entries(taker)) on(name, work);
  on("reset", () => refresh());
  on("ready", () => {
    show("live", false);
    if (first && live !== "page") refresh(); // what changed between the page and the stream
    first = false;
  });
  source.onerror = () => {
    show("not connected", true);
    // A browser gives up where the answer is no stream: the session may have ended.
    if (source?.readyState === EventSource.CLOSED) {
      close();
      setTimeout(open, 5000);
    }
  };
}

function close() {
  source?.close();
  source = null;
}

export function follow() {
  if (!stream) return;
  const log = document.querySelector("#log");
  if (log && !document.querySelector("#p-progress").hidden) log.scrollTop = log.scrollHeight;
  open();
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
      show("paused", true);
    } else {
      open();
      if (live === "page") refresh();
    }
  });
}
