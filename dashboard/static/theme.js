/* Sets the theme before the first paint: what was chosen here before, else what the machine prefers. */
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* a private window keeps nothing */ }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  document.documentElement.classList.add("js");
})();
