/* On every page: the theme, single keys, the line that says whether the page is live.
   Data enters the page as text only: nothing here writes HTML. */
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);
const POLL_MS = 1000;

/* A sentence in the page's language, its places filled. */
const words = JSON.parse($("#words").textContent);
function T(text, values = {}) {
  return (words[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/* Ask our own server to change something; the answer is {status, data}. */
async function send(method, address, body) {
  const headers = { "Content-Type": "application/json", "X-Form-Token": document.body.dataset.formToken };
  try {
    const answer = await fetch(address, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal: AbortSignal.timeout(15000) });
    return { status: answer.status, data: await answer.json().catch(() => ({})) };
  } catch {
    return { status: 0, data: { error: T("The dashboard does not answer; nothing was changed.") } };
  }
}

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
const keys = new Map([["T", switchTheme], ["L", () => $("#language")?.click()], ["?", () => $("#help")?.showModal()]]);
const places = { q: "/", m: "/members", r: "/rules", o: "/operations" };
const singleKeys = $("#single-keys");
try { if (singleKeys) singleKeys.checked = localStorage.getItem("keys") !== "off"; } catch { /* a private window keeps nothing */ }
singleKeys?.addEventListener("change", () => { try { localStorage.setItem("keys", singleKeys.checked ? "on" : "off"); } catch { /* likewise */ } });
$("#language")?.addEventListener("click", (event) => { event.currentTarget.search = new URLSearchParams({ next: location.pathname + location.search }); });
let goUntil = 0;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || (singleKeys && !singleKeys.checked && event.key !== "Escape") || $("dialog[open]")) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "g") { goUntil = Date.now() + 1500; return; }
  if (places[event.key] && Date.now() < goUntil) { location.href = places[event.key]; return; }
  const action = keys.get(event.key);
  if (action && action(event) !== false) event.preventDefault();
});

/* Ask again every second while the page is seen. `take` gets the answer; a failure shows the banner. */
function poll(address, take) {
  const live = $("#live"), banner = $("#banner");
  let since = null, timer = 0;
  const paused = (what, note) => {
    since = since ?? live.dataset.checked;
    live.classList.add("off");
    $("#live-text").textContent = T("Paused at");
    $(".when", live).textContent = since;
    $("#banner-what").textContent = what;
    if (note) $("#banner-note").textContent = note;
    if (banner.hidden) banner.hidden = false;
    document.body.classList.add("paused");
  };
  const ask = async () => {
    clearTimeout(timer);
    try {
      const answer = await fetch(address(), { headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(8000) });
      if (answer.status === 401) { paused(T("Your session is over."), T("Load the page again to log in.")); return; }
      if (!answer.ok) throw new Error("away");
      const data = await answer.json();
      live.dataset.checked = data.checked;
      live.classList.remove("off");
      $("#live-text").textContent = T("Live");
      $(".when", live).textContent = data.checked;
      banner.hidden = true;
      document.body.classList.remove("paused");
      $(".lag", live).textContent = data.behind_text;
      $(".lag", live).classList.toggle("late", data.is_late);
      for (const [name, count] of Object.entries(data.nav)) $(`[data-nav="${CSS.escape(name)}"]`).textContent = count;
      if (since) { say(T("The alert index is back")); since = null; }
      take(data);
    } catch (error) {
      if (error.name === "TypeError") paused(T("The dashboard does not answer since {time}.", { time: live.dataset.checked }), T("Its process is down or the network is. This page shows what was known then."));
      else paused(T("The alert index does not answer since {time}.", { time: live.dataset.checked }));
    }
    if (!document.hidden) timer = setTimeout(ask, POLL_MS);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  timer = setTimeout(ask, POLL_MS);
  return ask;
}
