/* On every page: the theme, single keys, the line that says whether the page is live.
   Data enters the page as text only: nothing here writes HTML. */
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);
const POLL_MS = 2000;

/* One polite live region for every result. */
function say(text) {
  const region = $("#say");
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("theme", root.dataset.theme); } catch { /* a private window keeps nothing */ }
}
$("#theme")?.addEventListener("click", switchTheme);

/* Single keys: never while typing, never with a modifier, and only what the page has registered. */
const keys = new Map([["T", switchTheme]]);
let goUntil = 0;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "g") { goUntil = Date.now() + 900; return; }
  if (event.key === "q" && Date.now() < goUntil) { location.href = "/"; return; }
  const action = keys.get(event.key);
  if (action && action(event) !== false) event.preventDefault();
});

/* Ask again every two seconds while the page is seen. `take` gets the answer; a failure shows the banner. */
function poll(address, take) {
  const live = $("#live"), banner = $("#banner");
  let since = null, timer = 0;
  const paused = (what, note) => {
    since = since ?? live.dataset.checked;
    live.classList.add("off");
    $("#live-text").textContent = "Paused at";
    $(".when", live).textContent = since;
    $("#banner-what").textContent = what;
    if (note) $("#banner-note").textContent = note;
    if (banner.hidden) banner.hidden = false;
  };
  const ask = async () => {
    clearTimeout(timer);
    try {
      const answer = await fetch(address(), { headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(8000) });
      if (answer.status === 401) { paused("Your session is over.", "Load the page again to log in."); return; }
      if (!answer.ok) throw new Error("away");
      const data = await answer.json();
      live.dataset.checked = data.checked;
      live.classList.remove("off");
      $("#live-text").textContent = "Live";
      $(".when", live).textContent = `${data.checked} ${live.dataset.zone}`;
      banner.hidden = true;
      if (since) { say("The alert index is back"); since = null; }
      take(data);
    } catch (error) {
      if (error.name === "TypeError") paused(`The dashboard does not answer since ${live.dataset.checked}.`, "Its process is down or the network is. This page shows what was known then.");
      else paused(`The alert index does not answer since ${live.dataset.checked}.`);
    }
    if (!document.hidden) timer = setTimeout(ask, POLL_MS);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  timer = setTimeout(ask, POLL_MS);
  return ask;
}
