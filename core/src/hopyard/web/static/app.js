// What every page does: times on the viewer's clock, acts, keys, colours. No page needs more to be read.
import { follow, refresh } from "./live.js";
import { install as forms } from "./forms.js";

export const prefix = document.body.dataset.prefix;
const one = (query, within = document) => within.querySelector(query);
const all = (query, within = document) => [...within.querySelectorAll(query)];

// --- times

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short", hourCycle: "h23",
});

export function showTimes(within = document) {
  const today = new Date().toDateString();
  for (const time of all("time[datetime]", within)) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const form = time.dataset.form;
    const short = form === "clock" || at.toDateString() === today ? clock : day;
    const text = (form === "full" ? full : short).format(at);
    if (time.textContent !== text) time.textContent = text;
    time.title = `${full.format(at)} (${time.dateTime.replace("T", " ").slice(0, 19)} UTC)`;
  }
}

// --- asking the server

export class Refused extends Error {
  constructor(problem) {
    super(problem.detail || problem.title || "this did not work");
    this.errors = problem.errors || [];
  }
}

export async function ask(method, url, body) {
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused({ detail: "The server does not answer." });
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401 && !one("#login")) location.assign(`${prefix}/login`);
  if (!answer.ok) throw new Refused(said);
  return said;
}

let quiet;
export function say(text, bad = false) {
  const [toast, other] = bad ? [one("#failed"), one("#said")] : [one("#said"), one("#failed")];
  other.textContent = "";
  toast.textContent = text;
  clearTimeout(quiet);
  quiet = setTimeout(() => (toast.textContent = ""), bad ? 9000 : 4000);
}

// `{jobs.3f…}` in a text is replaced by that value of an answer.
export function filled(text, answer) {
  return text.replace(/\{([^}]*)\}/g, (_, path) =>
    path.split(".").reduce((value, name) => (value == null ? "" : value[name]), answer) ?? "");
}

export function then(path, answer) {
  location.assign(prefix + filled(path, answer));
}

// --- acts

export function sure(text, danger, asks = false) {
  const dialog = one("#sure");
  one("#sure-text").textContent = text;
  one("#sure-ask").hidden = !asks;
  const reason = one("input[name=reason]", dialog);
  reason.value = "";
  one("button[value=yes]", dialog).className = danger ? "danger" : "main";
  dialog.returnValue = "no";
  dialog.showModal();
  (asks ? reason : one("button[value=no]", dialog)).focus();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes" ? { reason: reason.value } : null), { once: true });
  });
}

async function counted(button) {
  const found = await ask("GET", button.dataset.counted);
  return `${found.exact ? "" : "at least "}${found.jobs.toLocaleString()} ${found.jobs === 1 ? "job" : "jobs"}`;
}

export async function act(button) {
  const { act: method, url, sure: question, body, done, then: next } = button.dataset;
  button.disabled = true;
  try {
    let to = url;
    if (question !== undefined) {
      const text = button.dataset.counted ? question.replace("{}", await counted(button)) : question;
      const yes = await sure(text, "danger" in button.dataset, "ask" in button.dataset);
      if (!yes) return;
      if (yes.reason) to += `${to.includes("?") ? "&" : "?"}reason=${encodeURIComponent(yes.reason)}`;
    }
    const answer = await ask(method, to, body === undefined ? undefined : JSON.parse(body));
    if (next) return then(next, answer);
    say(filled(done || "Done", answer) + (answer.more ? "; there are more, ask again" : ""));
    await refresh(true);
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

async function copy(button) {
  const source = button.dataset.copyOf ? document.getElementById(button.dataset.copyOf) : null;
  const text = source ? (source.value ?? source.textContent) : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied");
  } catch {
    say("The browser does not let pages copy here.", true);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("act" in button.dataset) act(button);
  else if ("copy" in button.dataset || "copyOf" in button.dataset) copy(button);
  else if (button.dataset.open) document.getElementById(button.dataset.open).showModal();
  else if ("close" in button.dataset) button.closest("dialog").close();
});

// --- keys

let leading = 0;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || one("dialog[open]")) return;
  if (event.target.matches("input, textarea, select, [contenteditable]")) return;
  const screen = Date.now() - leading < 1200 && one(`[data-go="${CSS.escape(event.key)}"]`);
  leading = 0;
  if (screen) screen.click();
  else if (event.key === "g") leading = Date.now();
  else if (event.key === "n" && !one("#news").hidden) one("#news").click();
  else if (event.key === "?" && one("#keys")) one("#keys").showModal();
  else if (event.key === "/" && one("[data-search]")) one("[data-search]").focus();
  else return;
  event.preventDefault();
});

// --- colours

const themes = ["system", "light", "dark"];
function showTheme() {
  const now = document.documentElement.dataset.theme || "system";
  one("#theme").setAttribute("aria-label", `Colours: ${now === "system" ? "as the system has them" : now}`);
}
one("#theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme || "system";
  const next = themes[(themes.indexOf(now) + 1) % themes.length];
  if (next === "system") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("hopyard-theme");
  } else {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("hopyard-theme", next);
  }
  showTheme();
  say(`Colours: ${next}`);
});

showTheme();
showTimes();
forms();
follow();
