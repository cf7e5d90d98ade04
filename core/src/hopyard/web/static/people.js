// Requests in plain English: how a sentence is read while it is written, what was asked for, what waits.
import { ask, prefix, say, showTimes, sure } from "./app.js";

const place = document.querySelector("#asking");
const { person, may } = place.dataset;
const base = `${prefix}/api/plugins/ai`;
const form = document.querySelector("#ask");
let questions = [];
const answers = new Map(); // what is written as an answer stays while the list is made anew

function made(name, { text = "", ...rest } = {}, ...within) {
  const element = Object.assign(document.createElement(name), rest);
  element.append(text, ...within);
  return element;
}

function moment(iso) {
  const time = made("time", { dateTime: iso });
  time.dataset.form = "full";
  return time;
}

function whose(who) {
  return `?person=${encodeURIComponent(who)}`;
}

function button(label, work, danger = false) {
  const one = made("button", { text: label, type: "button", className: danger ? "danger" : "" });
  one.addEventListener("click", async () => {
    one.disabled = true;
    try {
      const answer = await work();
      say(answer?.sentence || "Done");
      await load();
    } catch (error) {
      say(error.message, true);
    } finally {
      one.disabled = false;
    }
  });
  return one;
}

// --- how it is read

function read(found, shown) {
  shown.classList.toggle("refused", Boolean(found.refused));
  if (found.refused) return shown.replaceChildren(`Not read yet: ${found.refused}`);
  const next = found.next.slice(0, 3).flatMap((at) => [moment(at), " "]);
  shown.replaceChildren(made("b", { text: found.kind }), ` “${found.instruction}”, ${found.when}. Next: `, ...next);
  showTimes(shown);
}

if (form) {
  const shown = document.querySelector("#reading");
  let asked = 0;
  let waiting;
  form.elements.text.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const text = form.elements.text.value.trim();
      const mine = ++asked;
      if (!text) return shown.replaceChildren();
      try {
        const found = await ask("POST", `${base}/preview`, { text, person: person || form.elements.person?.value || null });
        if (mine === asked) read(found, shown);
      } catch (error) {
        if (mine === asked) shown.replaceChildren(error.message);
      }
    }, 250);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fault = form.querySelector(".fault");
    fault.textContent = "";
    try {
      const said = await ask("POST", `${base}/requests`, { text: form.elements.text.value, person: person || form.elements.person?.value || null });
      say(said.sentence);
      form.reset();
      shown.replaceChildren();
      await load();
    } catch (error) {
      fault.textContent = error.message;
    }
  });
}

// --- what was asked for

function acts(one) {
  const at = `${base}/requests/${encodeURIComponent(one.id)}`;
  const who = whose(one.person);
  if (one.state === "unconfirmed") {
    return [
      button("Yes, do that", () => ask("POST", `${at}/confirm${who}`, { yes: true })),
      button("No", () => ask("POST", `${at}/confirm${who}`, { yes: false })),
    ];
  }
  const rests = one.state === "paused";
  return [
    button(rests ? "Resume" : "Pause", () => ask("POST", `${at}/${rests ? "resume" : "pause"}${who}`)),
    button("Run now", () => ask("POST", `${at}/run${who}`)),
    button("Delete", async () => {
      if (!(await sure(`Delete “${one.title}”? What it did stays in the record.`, true))) return { sentence: "Left as it is" };
      return ask("DELETE", `${at}${who}`);
    }, true),
  ];
}

function request(one) {
  const item = made("li", {}, made("b", { text: one.title }), " ", made("span", { text: one.state, className: `badge ${one.state}` }));
  if (!person) item.append(" ", made("span", { text: `for ${one.person}`, className: "muted" }));
  const line = made("p", { className: "muted" }, `${one.when}${one.said ? ` – said as “${one.said}”` : ""}`);
  if (one.next_times.length) line.append("; next ", moment(one.next_times[0]));
  item.append(line);
  if (may) {
    item.append(made("p", { className: "row" }, ...acts(one)));
    for (const question of questions.filter((asked) => asked.request === one.id)) item.append(...answering(one, question));
  }
  item.append(runs(one));
  return item;
}

// What came of it, asked for when it is opened.
function runs(one) {
  const at = `${base}/requests/${encodeURIComponent(one.id)}`;
  const list = made("ul", { className: "plain" });
  const whole = made("details", {}, made("summary", { text: "What came of it" }), list);
  whole.addEventListener("toggle", async () => {
    if (!whole.open) return;
    try {
      const found = (await ask("GET", at + whose(one.person))).runs.slice(0, 10);
      list.replaceChildren(...(found.length ? found.map(shownRun) : [made("li", { text: "Nothing yet.", className: "muted" })]));
      showTimes(list);
    } catch (error) {
      say(error.message, true);
    }
  });
  return whole;
}

function shownRun(run) {
  const job = made("a", { href: `${prefix}/jobs/${encodeURIComponent(run.job)}` }, moment(run.due));
  const item = made("li", {}, made("span", { text: run.state, className: `badge ${run.state}` }), " ", job);
  if (run.answer) item.append(made("p", { text: run.answer, className: "doc" }));
  return item;
}

// What a request has asked, and what is answered.
function answering(one, question) {
  const text = made("input", { value: answers.get(question.run) || "", maxLength: 10000, placeholder: "Your answer" });
  text.setAttribute("aria-label", `Answer about ${one.title}`);
  text.addEventListener("input", () => answers.set(question.run, text.value));
  const send = button("Answer", async () => {
    const said = await ask("POST", `${base}/requests/${encodeURIComponent(question.run)}/answer${whose(one.person)}`, { text: text.value });
    answers.delete(question.run);
    return said;
  });
  return [made("p", {}, made("b", { text: question.text || "It asks something." })), made("p", { className: "row answer" }, text, send)];
}

function approval(one) {
  const at = `${base}/approvals/${encodeURIComponent(one.id)}${whose(one.person)}`;
  const item = made("li", {}, made("b", { text: one.tool }), ` for “${one.title}”`, one.effect ? `, which ${one.effect}` : "");
  if (!person) item.append(made("span", { text: ` (${one.person})`, className: "muted" }));
  item.append(made("pre", { text: JSON.stringify(one.args, null, 2) }));
  if (one.expires) item.append(made("p", { className: "muted", text: "Until " }, moment(one.expires)));
  if (may) {
    item.append(made("p", { className: "row" },
      button("Yes", () => ask("POST", at, { yes: true })), button("No", () => ask("POST", at, { yes: false }), true)));
  }
  return item;
}

async function load() {
  const query = person ? whose(person) : "";
  const [found, { approvals }] = await Promise.all([
    ask("GET", `${base}/requests${query}`),
    ask("GET", `${base}/approvals${query}`),
  ]);
  const { requests } = found;
  questions = found.questions;
  document.querySelector("#requests").replaceChildren(...requests.map(request));
  document.querySelector("#no-requests").hidden = requests.length > 0;
  document.querySelector("#approvals-list").replaceChildren(...approvals.map(approval));
  document.querySelector("#approvals").hidden = approvals.length === 0;
  showTimes(place);
  reload.textContent = "Reload";
}

const reload = document.querySelector("#reload");
reload.addEventListener("click", () => load().catch((error) => say(error.message, true)));
load().catch((error) => say(error.message, true));
document.addEventListener("jobs-changed", () => {
  // What somebody reads, points at or writes in stays where it is.
  if (place.querySelector("details[open], li:hover, li:focus-within")) reload.textContent = "Something has changed: reload";
  else load().catch((error) => say(error.message, true));
});
