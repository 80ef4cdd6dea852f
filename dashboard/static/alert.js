/* One alert: a newer revision is announced and shown when asked for; nothing moves under the hand. */
"use strict";
(() => {
  const page = $("#main"), place = $("#place"), news = $("#news");
  const address = `/api/v1/alerts/${encodeURIComponent(page.dataset.id)}`;
  let told = "";
  poll(() => `/api/alerts/${encodeURIComponent(page.dataset.id)}`, (data) => {
    const grown = data.revision !== page.dataset.revision, worked = String(data.workflow) !== page.dataset.workflow;
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

  /* ----- the matrix: one tab stop, arrows walk the cells, Enter keeps the evidence of one ----- */
  const evidence = [...document.querySelectorAll("[data-evidence]")], note = $("#evidence-note"), all = $("#evidence-all");
  const noteText = note?.textContent;
  const showAll = () => { for (const row of evidence) row.hidden = false; all.hidden = true; note.textContent = noteText; say(noteText); };
  const keep = (cell) => {
    const { start, end } = cell.dataset, member = cell.closest("tr").dataset.member;
    const fits = (row) => row.dataset.member === member && +row.dataset.at >= +start && +row.dataset.at < +end;
    for (const row of document.querySelectorAll("tr.raw")) row.remove();
    for (const row of evidence) { row.hidden = !fits(row); $(".raw-open", row).ariaExpanded = "false"; }
    note.textContent = T("{n} shown: {cell}", { n: evidence.filter(fits).length, cell: cell.ariaLabel });
    all.hidden = false;
    say(note.textContent);
  };
  all?.addEventListener("click", showAll);
  const rows = [...document.querySelectorAll("#mx tr[data-member]")].map((row) => [...row.querySelectorAll("td[data-start]")]);
  if (rows.length) {
    rows[0][0].tabIndex = 0;
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const focus = (cell) => { for (const other of document.querySelectorAll("#mx td[tabindex='0']")) other.tabIndex = -1; cell.tabIndex = 0; cell.focus(); };
    $("#mx").addEventListener("keydown", (event) => {
      const y = rows.findIndex((row) => row.includes(event.target));
      if (y < 0) return;
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); keep(event.target); return; }
      const step = steps[event.key], next = step && rows[y + step[0]]?.[rows[y].indexOf(event.target) + step[1]];
      if (step) { event.preventDefault(); event.stopPropagation(); }
      if (next) focus(next);
    });
    $("#mx").addEventListener("click", (event) => { const cell = event.target.closest("td[data-start]"); if (cell) { focus(cell); keep(cell); } });
  }

  /* ----- the original event, fetched when asked for ----- */
  for (const button of document.querySelectorAll(".raw-open")) button.addEventListener("click", async () => {
    const row = button.closest("tr");
    if (button.ariaExpanded === "true") { row.nextElementSibling.remove(); button.ariaExpanded = "false"; return; }
    button.disabled = true;
    const { status, data } = await send("GET", `${address}/evidence/${row.dataset.evidence}`);
    button.disabled = false;
    const line = document.createElement("tr"), cell = document.createElement("td"), raw = document.createElement("pre");
    line.className = "raw";
    cell.colSpan = row.cells.length;
    raw.tabIndex = 0;
    raw.textContent = status === 200 ? [data.pretty, ...data.explained].filter(Boolean).join("\n\n") : data.error;
    cell.append(raw);
    line.append(cell);
    row.after(line);
    button.ariaExpanded = "true";
  });
})();
