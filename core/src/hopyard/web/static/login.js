// A one-time key stands behind `#`, which is sent to no server: it is used at once, and taken out of sight.
import { ask, prefix } from "./app.js";

const form = document.querySelector("#login");
const why = document.querySelector("#why");

async function logIn(key) {
  why.textContent = "";
  try {
    const { to } = await ask("POST", `${prefix}/login`, { key, next: form.elements.next.value });
    location.replace(to);
  } catch (error) {
    why.textContent = error.message;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  logIn(form.elements.key.value);
});

if (location.hash.startsWith("#hop_")) {
  const key = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  logIn(key);
}
