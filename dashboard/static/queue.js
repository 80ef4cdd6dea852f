/* The queue: rows change in place, new ones wait until asked for, the cursor belongs to an alert and not to a line. */
"use strict";
(() => {
  const table = $("#queue"), list = $("tbody", table), place = $("#place"), preview = $("#preview");
  const SVG = "http://www.w3.org/2000/svg";
  const known = new Map(JSON.parse($("#rows").textContent).map((row) => [row.id, row]));
  let order = [...known.keys()];
  let cursor = sessionStorage.getItem("cursor");
  const rowOf = (id) => list.querySelector(`tr[data-id="${CSS.escape(id)}"]`);
  const shown = () => [...list.rows].map((row) => row.dataset.id);

  /* ----- one row ----- */
  const svg = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const drawStrip = (element, bars) => element.replaceChildren(...bars.flatMap(([x, y, width, shade]) => [
    svg("rect", { class: "track", x: 0, y: y + 1, width: 156, height: 1 }),
    svg("rect", { class: `c${shade}`, x, y, width, height: 3 }),
  ]));
  const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
  const fill = (element, row) => {
    const before = element.dataset.revision;
    element.dataset.id = row.id;
    element.dataset.revision = row.revision;
    for (const part of element.querySelectorAll("[data-f]")) {
      const name = part.dataset.f;
      if (name === "strip") drawStrip(part, row.strip);
      else if (name === "level") { part.className = `lv ${row.level}`; part.textContent = capital(row.level); }
      else if (name === "state") { part.className = `st ${row.state}`; part.lastChild.textContent = capital(row.state); }
      else if (part.textContent !== String(row[name])) {
        part.textContent = row[name];
        if (before && ["hits", "members", "age"].includes(name)) mark(part);
      }
    }
    $(".reason", element).href = `/alerts/${encodeURIComponent(row.id)}`;
    $(".key", element).title = row.key_title;
  };
  /* A changed number is marked by weight for two seconds, not by a flash. */
  const mark = (part) => { part.classList.add("changed"); setTimeout(() => part.classList.remove("changed"), 2000); };

  /* ----- the cursor and the preview beside it ----- */
  const fillPreview = (row) => {
    preview.hidden = !row;
    if (!row) return;
    for (const part of preview.querySelectorAll("[data-p]")) {
      const name = part.dataset.p;
      if (name === "level") { part.className = `lv ${row.level}`; part.textContent = capital(row.level); }
      else if (name === "href") part.href = `/alerts/${encodeURIComponent(row.id)}`;
      else if (name === "groups") part.textContent = row.members > 1 ? `${row.members} institutions in ${row.groups}` : "One institution";
      else if (name === "key_title") part.textContent = row.key_title || "none";
      else if (name === "order") part.replaceChildren(...row.order.map((item) => {
        const line = document.createElement("li");
        for (const [css, text] of [["nm", item.name], ["tm", item.at], ["lag", item.counted_with ? "same group" : item.lag], ["n", item.hits]]) {
          const cell = document.createElement("span");
          cell.className = css;
          cell.textContent = text;
          line.append(cell);
        }
        return line;
      }));
      else part.textContent = row[name];
    }
  };
  const point = (id, focus) => {
    $("tr.cur", list)?.classList.remove("cur");
    cursor = id;
    const row = id && rowOf(id);
    if (row) {
      row.classList.add("cur");
      sessionStorage.setItem("cursor", id);
      if (focus) { $(".reason", row).focus({ preventScroll: true }); row.scrollIntoView({ block: "nearest" }); }
    }
    fillPreview(known.get(id));
  };
  const move = (by) => {
    const ids = shown();
    if (!ids.length) return false;
    const at = ids.indexOf(cursor);
    point(ids[Math.min(ids.length - 1, Math.max(0, at < 0 ? 0 : at + by))], true);
    return true;
  };
  list.addEventListener("focusin", (event) => { const row = event.target.closest("tr"); if (row && row.dataset.id !== cursor) point(row.dataset.id, false); });
  list.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row || event.target.closest("a")) return;
    if (preview.offsetParent === null && row.dataset.id === cursor) $(".reason", row).click();
    else point(row.dataset.id, true);
  });

  /* ----- live ----- */
  const placeAll = () => {
    const rows = order.map((id) => {
      const element = rowOf(id) ?? $("#row").content.firstElementChild.cloneNode(true);
      fill(element, known.get(id));
      element.classList.remove("gone");
      return element;
    });
    const focused = list.contains(document.activeElement);
    list.replaceChildren(...rows);
    for (const id of [...known.keys()]) if (!order.includes(id)) known.delete(id);
    table.hidden = !rows.length;
    $("#empty").hidden = rows.length > 0;
    waiting();
    point(known.has(cursor) ? cursor : order[0], focused);
  };
  const waiting = () => {
    const news = order.filter((id) => !rowOf(id)).length;
    const gone = list.querySelectorAll("tr.gone").length;
    place.hidden = !news && !gone;
    $("#place-text").textContent = news ? `${news} new` : "Update list";
    document.title = `${news ? `(${news}) ` : ""}Queue · Joint SOC`;
    return news;
  };
  let announced = 0;
  poll(() => `/api/queue${location.search}`, (data) => {
    order = data.rows.map((row) => row.id);
    for (const row of data.rows) {
      const old = known.get(row.id), element = rowOf(row.id);
      known.set(row.id, row);
      if (element && old?.revision !== row.revision) fill(element, row);
    }
    for (const row of list.rows) row.classList.toggle("gone", !order.includes(row.dataset.id));
    for (const view of data.views) { const count = $(`[data-view="${CSS.escape(view.name)}"]`); if (count) count.textContent = view.count.toLocaleString("en"); }
    $("#summary").textContent = data.summary;
    if (!list.rows.length) { placeAll(); return; } // nothing on the screen can move under a hand
    const news = waiting();
    if (news > announced) say(`${news} new ${news === 1 ? "alert" : "alerts"}`);
    announced = news;
    if (cursor) fillPreview(known.get(cursor));
  });

  place.addEventListener("click", placeAll);
  keys.set("j", () => move(1)).set("k", () => move(-1)).set("ArrowDown", () => move(1)).set("ArrowUp", () => move(-1));
  keys.set(".", () => !place.hidden && placeAll());
  keys.set("/", () => { $(".search input").focus(); });
  keys.set("d", () => document.body.classList.toggle("compact"));
  keys.set("Enter", (event) => { const row = cursor && rowOf(cursor); if (!row || event.target !== document.body) return false; location.href = $(".reason", row).href; return true; });
  keys.set("Escape", () => { for (const open of document.querySelectorAll("details[open]")) open.open = false; });
  const filters = $("#filters");
  filters.addEventListener("change", (event) => { if (event.target.type !== "search") filters.requestSubmit(); });
  document.addEventListener("click", (event) => { for (const open of document.querySelectorAll("details[open]")) if (!open.contains(event.target)) open.open = false; });

  point(known.has(cursor) ? cursor : order[0], false);
})();
