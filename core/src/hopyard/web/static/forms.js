// Forms whose answers are JSON: what they send, and where they show what is wrong with it.
import { ask, Refused, say, then } from "./app.js";
import { refresh } from "./live.js";

const all = (query, within = document) => [...within.querySelectorAll(query)];

// --- values of fields

const readers = {
  string: (text) => text,
  text: (text) => text,
  number: (text) => number(text),
  integer: (text) => exact(number(text)),
  boolean: (text) => text === "true",
  choice: (text) => JSON.parse(text),
  list: (text, field) => text.split("\n").filter((line) => line.trim()).map((line) => readers[field.dataset.items](line.trim())),
  json: (text) => json(text),
};

function number(text) {
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Error("is no number");
  return value;
}

// A browser rounds whole numbers beyond 2^53.
function exact(value) {
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw new Error("has more digits than a browser keeps: submit it as a program does");
  return value;
}

function json(text) {
  try {
    return JSON.parse(text, (key, value) => exact(value));
  } catch (error) {
    throw error instanceof SyntaxError ? new Error(`is no JSON: ${error.message}`) : error;
  }
}

// Return the arguments of a form. An optional field that is empty is left to the task.
function values(form) {
  const found = {};
  for (const field of all("[data-name]", form)) {
    const text = field.value;
    if (text === "") {
      if (field.required) throw fault(field, "is required");
      continue;
    }
    try {
      found[field.dataset.name] = readers[field.dataset.kind](text, field);
    } catch (error) {
      throw fault(field, error.message);
    }
  }
  return found;
}

function fault(field, text) {
  field.setAttribute("aria-invalid", "true");
  field.focus();
  return new Error(`${field.dataset.name}: ${text}`);
}

// --- sending

function sending(form, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button.main");
    const shown = form.querySelector(".fault");
    shown.textContent = "";
    for (const field of all("[aria-invalid]", form)) field.removeAttribute("aria-invalid");
    button.disabled = true;
    try {
      await work(form);
    } catch (error) {
      shown.textContent = error.message;
      if (error instanceof Refused) mark(form, error);
    } finally {
      button.disabled = false;
    }
  });
}

// Mark the fields that an answer names.
function mark(form, error) {
  const text = [error.message, ...error.errors.map((one) => `${one.at}: ${one.message}`)].join("\n");
  let first = true;
  for (const field of all("[data-name]", form)) {
    const name = field.dataset.name.replace(/[^\w]/g, "\\$&");
    if (!new RegExp(`(^|[\\s\`.'"])${name}([\`'".:\\s]|$)`, "m").test(text)) continue;
    field.setAttribute("aria-invalid", "true");
    if (first) field.focus();
    first = false;
  }
}

async function runTask(form) {
  const url = new URL(form.dataset.task, location.href);
  for (const field of all("[data-query]", form)) if (field.value !== "") url.searchParams.set(field.dataset.query, field.value);
  then("/jobs/{task_id}", await ask("POST", url, values(form)));
}

async function replay(form) {
  const field = form.elements.arguments;
  const wanted = json(field.value);
  const before = JSON.parse(field.defaultValue);
  const changes = {};
  for (const [name, value] of Object.entries(wanted)) {
    if (JSON.stringify(value) !== JSON.stringify(before[name])) changes[name] = value;
  }
  then(form.dataset.then, await ask("POST", form.dataset.replay, { arguments: changes }));
}

async function editSchedule(form) {
  const { kind, rule, zone } = form.elements;
  const change = { [kind.value]: kind.value === "every" ? number(rule.value) : rule.value };
  if (zone.value) change.zone = zone.value;
  await ask("PATCH", form.dataset.schedule, change);
  say("Saved");
  await refresh(true);
}

async function makeToken(form) {
  const { name, role, plugins, person, days } = form.elements;
  const chosen = [...plugins.selectedOptions].map((one) => one.value);
  const made = await ask("POST", form.dataset.token, {
    name: name.value,
    role: role.value,
    plugins: chosen.length ? chosen : null,
    person: person.value || null,
    days: days.value ? Number(days.value) : null,
  });
  form.querySelector("#made").hidden = false;
  form.querySelector("#made-token").value = made.token;
  await refresh(true);
}

// --- the filter: times on the viewer's clock, and no empty fields in the address

function localTimes(form) {
  const pad = (value) => String(value).padStart(2, "0");
  for (const field of all("[data-time]", form)) {
    if (!field.value) continue;
    const at = new Date(`${field.value}Z`);
    field.value = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  }
  for (const zone of all("[data-zone]", form)) zone.textContent = "local";
}

function filter(form) {
  localTimes(form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (value === "") continue;
      const time = form.querySelector(`[data-time][name="${name}"]`);
      query.append(name, time ? `${new Date(value).toISOString().slice(0, 19)}Z` : value);
    }
    location.assign(`${form.action.split("?")[0]}?${query}`);
  });
}

function zones(field) {
  const list = document.getElementById(field.getAttribute("list"));
  field.addEventListener("focus", () => {
    if (list.children.length) return;
    for (const name of Intl.supportedValuesOf("timeZone")) list.append(new Option(name, name));
  });
}

export function install() {
  for (const form of all("[data-task]")) sending(form, runTask);
  for (const form of all("[data-replay]")) sending(form, replay);
  for (const form of all("[data-schedule]")) sending(form, editSchedule);
  for (const form of all("[data-token]")) sending(form, makeToken);
  for (const form of all("[data-filter]")) filter(form);
  for (const field of all("[data-zones]")) zones(field);
}
