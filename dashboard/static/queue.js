/* The queue: rows change in place, new ones wait until asked for, the cursor belongs to an alert and not to a line. */
"use strict";
(() => {
  const table = $("#queue"), list = $("tbody", table), place = $("#place"), preview = $("#preview");
  const SVG = "http://www.w3.org/2000/svg";
  const known = new Map(JSON.parse($("#rows").textContent).map((row) => [row.id, row]));
  let order = [...known.keys()];
  let cursor = sessionStorage.getItem("cursor");
  const picked = new Set(), undoable = [];
  const rowOf = (id) => list.querySelector(`tr[data-id="${CSS.escape(id)}"]`);
  const shown = () => [...list.querySelectorAll("tr.a")].map((row) => row.dataset.id);

  /* ----- one row ----- */
  const svg = (name, attributes) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const drawStrip = (element, bars) => element.replaceChildren(
    ...[...new Set(bars.map((bar) => bar[1]))].map((y) => svg("rect", { class: "track", x: 0, y: y + 1, width: 156, height: 1 })),
    ...bars.map(([x, y, width, shade]) => svg("rect", { class: `c${shade}`, x, y, width, height: 3 })),
  );
  const fill = (element, row) => {
    const before = element.dataset.revision;
    element.dataset.id = row.id;
    element.dataset.revision = row.revision;
    element.dataset.workflow = row.workflow;
    for (const part of element.querySelectorAll("[data-f]")) {
      const name = part.dataset.f;
      if (name === "strip") drawStrip(part, row.strip);
      else if (name === "owner") { part.className = row.owner ? "av" : "av none"; part.title = part.lastChild.textContent = row.owner_name; part.firstChild.textContent = row.owner || "\u2013"; }
      else if (name === "level") { part.className = `lv ${row.level}`; part.textContent = row.level_label; }
      else if (name === "status") { part.className = `st ${row.status}`; part.lastChild.textContent = row.status_label; }
      else if (part.textContent !== String(row[name])) {
        part.textContent = row[name];
        if (before && ["hits", "members", "age"].includes(name)) mark(part);
      }
    }
    $(".reason", element).href = `/alerts/${encodeURIComponent(row.id)}`;
    $(".key", element).title = row.key_title;
    const pick = $(".pick", element);
    if (pick) { pick.checked = picked.has(row.id); pick.ariaLabel = `${T("Select")}: ${row.message}`; }
  };
  /* A changed number is marked by weight for two seconds, not by a flash. */
  const mark = (part) => { part.classList.add("changed"); setTimeout(() => part.classList.remove("changed"), 2000); };

  /* ----- the cursor and the preview beside it ----- */
  const fillPreview = (row) => {
    preview.hidden = !row;
    if (!row) return;
    for (const part of preview.querySelectorAll("[data-p]")) {
      const name = part.dataset.p;
      if (name === "level") { part.className = `lv ${row.level}`; part.textContent = row.level_label; }
      else if (name === "href") part.href = `/alerts/${encodeURIComponent(row.id)}`;
      else if (name === "groups") part.textContent = row.members > 1 ? T("{n} institutions in {groups}", { n: row.members, groups: row.groups }) : T("One institution");
      else if (name === "key_title") part.textContent = row.key_title || T("none");
      else if (name === "tags") part.textContent = row.tags.join(", ") || T("none");
      else if (name === "order") part.replaceChildren(...row.order.flatMap((item, place) => {
        const line = document.createElement("li");
        for (const [css, text] of [["nm", item.name], ["tm", item.at], ["lag", item.counted_with ? T("same group") : item.lag], ["n", item.hits]]) {
          const cell = document.createElement("span");
          cell.className = css;
          cell.textContent = text;
          line.append(cell);
        }
        const reached = row.order.slice(0, place + 1).filter((one) => !one.counted_with).length;
        if (row.needed < 2 || reached !== row.needed || item.counted_with) return [line];
        const gate = document.createElement("li");
        gate.className = "gate";
        gate.textContent = T("{n} corporate groups reached: the rule fires", { n: row.needed });
        return [line, gate];
      }));
      else part.textContent = row[name];
    }
  };
  /* What needs more questions is asked for when the cursor rests on a row. */
  let besideTimer = 0, besideOf = null;
  const askBeside = (id) => {
    clearTimeout(besideTimer);
    if (!id || preview.offsetParent === null) return;
    const key = `${id} ${known.get(id)?.revision} ${known.get(id)?.workflow}`;
    if (key === besideOf) return;
    besideTimer = setTimeout(async () => {
      const { status, data } = await send("GET", `/api/alerts/${encodeURIComponent(id)}/beside`);
      if (cursor !== id) return;
      besideOf = status === 200 ? key : null;
      for (const part of preview.querySelectorAll("[data-b]")) part.textContent = status === 200 ? data[part.dataset.b] || T("none") : "";
    }, 150);
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
    if (besideOf && !besideOf.startsWith(`${id} `)) { besideOf = null; for (const part of preview.querySelectorAll("[data-b]")) part.textContent = ""; }
    fillPreview(known.get(id));
    askBeside(id);
  };
  const move = (by) => {
    const ids = shown();
    if (!ids.length) return false;
    const at = ids.indexOf(cursor);
    point(ids[Math.min(ids.length - 1, Math.max(0, at < 0 ? 0 : at + by))], true);
    return true;
  };
  list.addEventListener("focusin", (event) => { const row = event.target.closest("tr.a"); if (row && row.dataset.id !== cursor) point(row.dataset.id, false); });
  list.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row?.dataset.id || event.target.closest("a, input")) return;
    if (preview.offsetParent === null && row.dataset.id === cursor) $(".reason", row).click();
    else point(row.dataset.id, true);
  });

  /* ----- live ----- */
  const placeAll = () => {
    let group = "";
    const rows = order.flatMap((id) => {
      const element = rowOf(id) ?? $("#row").content.firstElementChild.cloneNode(true);
      fill(element, known.get(id));
      element.classList.remove("gone");
      if (known.get(id).group === group) return [element];
      group = known.get(id).group;
      const head = $("#group").content.firstElementChild.cloneNode(true);
      $(".t", head).textContent = group;
      $(".gn", head).textContent = known.get(id).group_note;
      const box = $(".pick-group", head);
      if (box) box.ariaLabel = `${T("Select the group")}: ${group}`;
      return [head, element];
    });
    const focused = list.contains(document.activeElement);
    list.replaceChildren(...rows);
    for (const id of [...known.keys()]) if (!order.includes(id)) { known.delete(id); picked.delete(id); }
    tellPicked();
    table.hidden = !rows.length;
    $("#empty").hidden = rows.length > 0;
    waiting();
    point(known.has(cursor) ? cursor : order[0], focused);
  };
  const waiting = () => {
    const news = order.filter((id) => !rowOf(id)).length;
    const gone = list.querySelectorAll("tr.gone").length;
    place.hidden = !news && !gone;
    $("#place-text").textContent = news ? T("{n} new", { n: news }) : T("Update list");
    document.title = `${news ? `(${news}) ` : ""}${T("Queue")} · ${T("Joint SOC")}`;
    return news;
  };
  let announced = 0;
  const ask = poll(() => `/api/queue${location.search}`, (data) => {
    order = data.rows.map((row) => row.id);
    for (const row of data.rows) {
      const old = known.get(row.id), element = rowOf(row.id);
      known.set(row.id, row);
      if (element && (old?.revision !== row.revision || old?.workflow !== row.workflow)) fill(element, row);
    }
    for (const row of list.querySelectorAll("tr.a")) row.classList.toggle("gone", !order.includes(row.dataset.id));
    for (const view of data.views) { const count = $(`[data-view="${CSS.escape(view.query)}"]`); if (count && view.count !== null) count.textContent = view.count.toLocaleString("en"); }
    $("#summary").textContent = data.summary;
    if (!list.rows.length) { placeAll(); return; } // nothing on the screen can move under a hand
    const news = waiting();
    if (news > announced) say(T("{n} new", { n: news }));
    announced = news;
    if (cursor) { fillPreview(known.get(cursor)); askBeside(cursor); }
  });

  place.addEventListener("click", placeAll);
  keys.set("j", () => move(1)).set("k", () => move(-1)).set("ArrowDown", () => move(1)).set("ArrowUp", () => move(-1));
  keys.set(".", () => !place.hidden && placeAll());
  keys.set("/", () => { $(".search input").focus(); });
  keys.set("d", () => document.body.classList.toggle("compact"));
  keys.set("Enter", (event) => { const row = cursor && rowOf(cursor); if (!row || event.target !== document.body) return false; location.href = $(".reason", row).href; return true; });
  keys.set("Escape", () => { pickNone(); for (const open of document.querySelectorAll("details[open]")) open.open = false; });
  const filters = $("#filters");
  filters.addEventListener("change", (event) => { if (event.target.type !== "search" && !event.target.closest(".keep-view")) filters.requestSubmit(); });
  document.addEventListener("click", (event) => { for (const open of document.querySelectorAll("details[open]")) if (!open.contains(event.target)) open.open = false; });


  /* ----- selection: belongs to alerts, not to lines ----- */
  const tellPicked = () => {
    const text = $("#picked");
    if (!text) return;
    text.textContent = T("{n} selected", { n: picked.size });
    for (const row of list.querySelectorAll("tr.a")) {
      const on = picked.has(row.dataset.id);
      row.ariaSelected = on;
      $(".pick", row).checked = on;
    }
    $("#pick-all").checked = picked.size > 0 && shown().every((id) => picked.has(id));
  };
  const pick = (ids, on) => { for (const id of ids) on ? picked.add(id) : picked.delete(id); tellPicked(); };
  const pickNone = () => pick([...picked], false);
  let lastPicked = null;
  list.addEventListener("click", (event) => {
    const box = event.target;
    if (box.matches(".pick")) {
      const id = box.closest("tr").dataset.id, ids = shown();
      const [from, to] = [ids.indexOf(event.shiftKey && lastPicked ? lastPicked : id), ids.indexOf(id)].sort((a, b) => a - b);
      pick(ids.slice(Math.max(from, 0), to + 1), box.checked);
      lastPicked = id;
    } else if (box.matches(".pick-group")) pick(inGroup(box), box.checked);
    else if (box.matches("[data-group-ack]")) act("acknowledge", "", "", inGroup(box).filter((id) => known.get(id).status !== "acknowledged"));
  });
  const inGroup = (box) => {
    const ids = [];
    for (let row = box.closest("tr").nextElementSibling; row?.dataset.id; row = row.nextElementSibling) ids.push(row.dataset.id);
    return ids;
  };
  $("#pick-all")?.addEventListener("click", (event) => pick(shown(), event.target.checked));

  /* ----- doing something: to the selection, else to the row under the cursor ----- */
  const chosen = () => (picked.size ? [...picked] : cursor && known.has(cursor) ? [cursor] : []);
  const act = async (name, value = "", why = "", ids = chosen()) => {
    if (!ids.length || !$("#bulk")) return;
    const alerts = Object.fromEntries(ids.map((id) => [id, known.get(id).workflow]));
    const { status, data } = await send("POST", "/api/v1/workflow", { alerts, act: name, value, why });
    tellOutcome(status, data);
    if (status === 200) {
      const done = data.filter((one) => one.done);
      if (["acknowledge", "close"].includes(name) && done.length) undoable.push(Object.fromEntries(done.map((one) => [one.alert, one.workflow.revision])));
      $("#undo").disabled = !undoable.length;
      for (const one of done) picked.delete(one.alert);
    }
    tellPicked();
    ask();
  };
  /* Each institution hit by the chosen alerts is told its own part. */
  const notify = async (asked) => {
    const outcomes = [];
    for (const id of chosen()) {
      const { status, data } = await send("POST", `/api/v1/alerts/${encodeURIComponent(id)}/findings`, { members: known.get(id).member_ids, asked });
      outcomes.push(status === 200 ? { done: true } : { done: false, error: data.error });
    }
    tellOutcome(outcomes.every((one) => one.done) ? 200 : 0, outcomes);
    ask();
  };
  const undo = async () => {
    const alerts = undoable.pop();
    if (!alerts) return;
    $("#undo").disabled = !undoable.length;
    const { status, data } = await send("POST", "/api/v1/workflow", { alerts, act: "reopen", why: T("undone") });
    tellOutcome(status, data);
    ask();
  };
  const open = (id) => { const box = $(id); if (!box) return false; box.open = true; $("select, input", box.lastElementChild).focus(); return true; };
  if ($("#bulk")) {
    for (const button of document.querySelectorAll("#bulk [data-act]")) button.addEventListener("click", () => act(button.dataset.act, button.dataset.act === "assign" ? document.body.dataset.user : ""));
    $("#close-form").addEventListener("submit", (event) => { event.preventDefault(); $("#closing").open = false; act("close", event.target.reason.value, event.target.why.value); event.target.reset(); });
    $("#tag-form").addEventListener("submit", (event) => { event.preventDefault(); $("#tagging").open = false; act("tag", event.target.tag.value); event.target.reset(); });
    $("#undo").addEventListener("click", undo);
    $("#view-save").addEventListener("click", async () => {
      const name = $("#view-name").value.trim();
      if (!name) { $("#view-name").focus(); return; }
      const { status, data } = await send("PUT", "/api/v1/views", { name, query: location.search, shared: $("#view-shared").checked });
      if (status === 200) location.reload(); else tellOutcome(status, data);
    });
    $("#telling").addEventListener("toggle", () => {
      const rows = chosen().map((id) => known.get(id));
      $("#tell-who").textContent = T("{n} institutions are told their own part", { n: new Set(rows.flatMap((row) => row.member_ids)).size });
    });
    $("#tell-form").addEventListener("submit", (event) => { event.preventDefault(); $("#telling").open = false; notify(event.target.asked.value); event.target.reset(); });
    for (const button of document.querySelectorAll("[data-key]")) button.addEventListener("click", (event) => { event.stopPropagation(); pickNone(); keys.get(button.dataset.key)(event); });
    keys.set("x", () => { if (cursor) { pick([cursor], !picked.has(cursor)); lastPicked = cursor; } });
    keys.set("X", () => {
      const ids = shown(), [from, to] = [ids.indexOf(lastPicked ?? cursor), ids.indexOf(cursor)].sort((a, b) => a - b);
      pick(ids.slice(Math.max(from, 0), to + 1), true);
    });
    keys.set("n", () => open("#telling"));
    keys.set("a", () => { act("acknowledge"); });
    keys.set("s", () => { act("assign", document.body.dataset.user); });
    keys.set("c", () => open("#closing"));
    keys.set("t", () => open("#tagging"));
    keys.set("z", () => { undo(); });
  }

  addEventListener("pagehide", () => sessionStorage.setItem("order", JSON.stringify(shown())));
  point(known.has(cursor) ? cursor : order[0], false);
})();
