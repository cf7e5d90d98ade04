// Before the first paint: the colours that were chosen here before.
const chosen = localStorage.getItem("hopyard-theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
