/* One alert: a newer revision is announced and shown when asked for; nothing moves under the hand. */
"use strict";
(() => {
  const page = $("#main"), place = $("#place"), news = $("#news");
  let told = "";
  poll(() => `/api/alerts/${encodeURIComponent(page.dataset.id)}`, (data) => {
    const changed = data.revision !== page.dataset.revision;
    place.hidden = news.hidden = !changed;
    if (!changed) return;
    news.textContent = `Now ${data.news}`;
    if (told !== data.revision) say(news.textContent);
    told = data.revision;
  });
  const reload = () => { if (place.hidden) return false; location.reload(); return true; };
  place.addEventListener("click", reload);
  keys.set(".", reload);
  keys.set("Escape", () => { history.length > 1 ? history.back() : $("#back").click(); });
})();
