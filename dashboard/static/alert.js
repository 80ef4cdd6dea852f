/* One alert: a newer revision is announced and shown when asked for; nothing moves under the hand. */
"use strict";
(() => {
  const page = $("#main"), place = $("#place"), news = $("#news");
  const address = `/api/v1/alerts/${encodeURIComponent(page.dataset.id)}`;
  let told = "";
  poll(() => `/api/alerts/${encodeURIComponent(page.dataset.id)}`, (data) => {
    const grown = data.revision !== page.dataset.revision, worked = String(data.workflow) !== page.dataset.workflow;
    const others = data.readers.length ? T("{names} reads this too", { names: data.readers.join(T(", ")) }) : "";
    if ($("#readers").textContent !== others) { $("#readers").textContent = others; say(others); }
    place.hidden = news.hidden = !grown && !worked;
    if (place.hidden) return;
    news.textContent = [grown ? data.news : "", worked ? data.workflow_news : ""].filter(Boolean).join(" · ");
    if (told !== news.textContent) say(news.textContent);
    told = news.textContent;
  });
  const reload = () => { if (place.hidden) return false; location.reload(); return true; };
  place.addEventListener("click", reload);
  keys.set(".", reload);
  keys.set("Escape", () => { history.length > 1 ? history.back() : $("#back").click(); });

  /* ----- doing something: the page is loaded again only after our own success ----- */
  const act = async (name, value = "", why = "") => {
    const { status, data } = await send("POST", `${address}/workflow`, { act: name, seen: Number(page.dataset.workflow), value, why });
    if (status === 200) location.reload(); else tellOutcome(status, data);
  };
  const on = (id, name, what) => $(id)?.addEventListener(name, (event) => { event.preventDefault(); what(event.target); });
  for (const button of document.querySelectorAll(".crumb [data-act]")) button.addEventListener("click", () => act(button.dataset.act));
  for (const button of document.querySelectorAll("[data-untag]")) button.addEventListener("click", () => act("untag", button.dataset.untag));
  on("#close-form", "submit", (form) => act("close", form.reason.value, form.why.value));
  on("#tag-form", "submit", (form) => act("tag", form.tag.value));
  on("#note-form", "submit", (form) => act("note", form.note.value));
  on("#assignee", "change", (select) => act("assign", select.value));
  on("#notify-form", "submit", async (form) => {
    const members = [...form.querySelectorAll("[name=member]:checked")].map((box) => box.value);
    const { status, data } = await send("POST", `${address}/findings`, { members, asked: form.asked.value });
    if (status === 200) location.reload(); else tellOutcome(status, data);
  });
  on("#except-form", "submit", async (form) => {
    const members = form.member.value ? [form.member.value] : [];
    const { status, data } = await send("POST", `${address}/exceptions`, { reason: form.reason.value, days: Number(form.days.value), members });
    if (status === 200) location.href = "/exceptions"; else tellOutcome(status, data);
  });
  keys.set("a", () => $(".crumb [data-act=acknowledge]")?.click());
  keys.set("s", () => { if ($("#work")) act("assign", document.body.dataset.user); });
  keys.set("c", () => { const box = $("#closing"); if (!box) return false; box.open = true; $("select", box).focus(); return true; });
  keys.set("t", () => { $("#tag")?.focus(); });
  keys.set("n", () => { const box = $("#notify"); if (!box) return false; const tell = $("#tell"); if (tell) tell.open = true; box.scrollIntoView({ block: "nearest" }); $("textarea, button", box)?.focus(); return true; });
  $("#to-notify")?.addEventListener("click", (event) => { event.preventDefault(); keys.get("n")(); });

  /* ----- the neighbours in the queue it was opened from ----- */
  const order = JSON.parse(sessionStorage.getItem("order") ?? "[]"), at = order.indexOf(page.dataset.id);
  const go = (by) => { const id = order[at + by]; if (at < 0 || !id) return false; sessionStorage.setItem("cursor", id); location.href = `/alerts/${encodeURIComponent(id)}`; return true; };
  if (at >= 0) {
    $("#whereabouts").textContent = T("{n} of {m}", { n: at + 1, m: order.length });
    $("#whereabouts").hidden = false;
    for (const [id, by] of [["#previous", -1], ["#next", 1]]) { const button = $(id); button.hidden = false; button.disabled = !order[at + by]; button.addEventListener("click", () => go(by)); }
  }
  keys.set("j", () => go(1)).set("k", () => go(-1));
})();
