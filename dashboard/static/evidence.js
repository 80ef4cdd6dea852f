/* The evidence of one alert: the matrix keeps one cell of it, a value keeps or leaves out, the event is fetched when asked for. */
"use strict";
(() => {
  const rows = [...document.querySelectorAll("[data-evidence]")], note = $("#evidence-note"), all = $("#evidence-all");
  const address = `/api/v1/alerts/${encodeURIComponent($("#main").dataset.id)}/evidence`, noteText = note.textContent;
  const events = new Map(); /* row -> its event as the server answered */
  let cell = null, conditions = [], chosen = null;

  /* ----- what is shown: one cell of the matrix, and every condition on a value ----- */
  const inCell = (row) => !cell || (row.dataset.name === cell.closest("tr").dataset.member && +row.dataset.at >= +cell.dataset.start && +row.dataset.at < +cell.dataset.end);
  const holds = (row, { field, value, keep }) => valuesOf(row).some((one) => one.field === field && one.value === value) === keep;
  const valuesOf = (row) => [...[...row.querySelectorAll(".val")].map((one) => ({ field: one.dataset.field, value: one.dataset.value })), ...(events.get(row)?.lines ?? []).filter((line) => line.field)];
  const show = () => {
    const kept = rows.filter((row) => inCell(row) && conditions.every((one) => holds(row, one)));
    for (const row of rows) {
      row.hidden = !kept.includes(row);
      if (row.hidden) close(row);
    }
    const told = [...(cell ? [cell.ariaLabel] : []), ...conditions.map(({ field, value, keep }) => `${field} ${keep ? "=" : "≠"} ${value}`)];
    all.hidden = !told.length;
    note.textContent = told.length ? T("{n} shown: {cell}", { n: kept.length, cell: told.join(" · ") }) : noteText;
    say(note.textContent);
  };
  all.addEventListener("click", () => { cell = null; conditions = []; show(); });

  /* ----- a value: only those with it, or those without it; each event is read once ----- */
  const choose = (button) => {
    if (chosen) chosen.ariaPressed = "false";
    chosen = button === chosen ? null : button;
    $("#chosen").hidden = !chosen;
    if (!chosen) return;
    chosen.ariaPressed = "true";
    const { field, value } = chosen.dataset;
    $("#chosen-text").textContent = `${field} = ${value}`;
    $("#chosen-find").href = `/?${new URLSearchParams({ q: value.replace(/^"|"$/g, "") })}`;
    say(`${field} = ${value}`);
  };
  $(".s-ev").addEventListener("click", (event) => { if (event.target.matches(".val")) choose(event.target); });
  for (const [id, keep] of [["#chosen-only", true], ["#chosen-without", false]]) $(id).addEventListener("click", async () => {
    const { field, value, inside } = chosen.dataset;
    if (inside) for (const row of rows) await read(row);
    conditions = [...conditions.filter((one) => one.field !== field || one.value !== value), { field, value, keep }];
    choose(chosen);
    show();
  });

  /* ----- the original event: its text as it is, each value in it can be chosen ----- */
  const LINE = /^(\s*(?:"((?:[^"\\]|\\.)*)": )?)(.*?)(,?)$/;
  const linesOf = (pretty) => {
    const path = [];
    return pretty.split("\n").map((text) => {
      const [, head, name, value, comma] = LINE.exec(text) ?? [null, text, undefined, "", ""];
      if (/^[[{]$/.test(value)) path.push(name);
      else if (/^[\]}]$/.test(value)) path.pop();
      else return { head, value, comma, field: [...path, name].filter(Boolean).join(".") };
      return { head: text, value: "", comma: "", field: "" };
    });
  };
  const read = async (row) => {
    if (!events.has(row)) {
      const { status, data } = await send("GET", `${address}/${row.dataset.evidence}`);
      if (status !== 200) return { lines: [{ head: data.error, value: "", comma: "", field: "" }], explained: [] };
      events.set(row, { lines: linesOf(data.pretty), explained: data.explained });
    }
    return events.get(row);
  };
  const close = (row) => { if (row.nextElementSibling?.matches("tr.raw")) row.nextElementSibling.remove(); $(".raw-open", row).ariaExpanded = "false"; };
  const open = async (row) => {
    $(".raw-open", row).disabled = true;
    const { lines, explained } = await read(row);
    $(".raw-open", row).disabled = false;
    const drawn = $("#raw").content.firstElementChild.cloneNode(true), raw = $("pre", drawn);
    $("td", drawn).colSpan = row.cells.length;
    $(".place", drawn).textContent = row.dataset.place;
    for (const { head, value, comma, field } of lines) {
      raw.append(head);
      if (field) {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", className: "val", textContent: value, ariaPressed: "false" });
        Object.assign(button.dataset, { field, value, inside: "yes" });
        raw.append(button);
      } else raw.append(value);
      raw.append(`${comma}\n`);
    }
    raw.append(explained.length ? `\n${explained.join("\n\n")}` : "");
    $(".copy", drawn).addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(lines.map((line) => line.head + line.value + line.comma).join("\n")); tell(T("Copied"), false); } catch { getSelection().selectAllChildren(raw); }
    });
    row.after(drawn);
    $(".raw-open", row).ariaExpanded = "true";
  };
  for (const row of rows) $(".raw-open", row).addEventListener("click", (event) => (event.target.ariaExpanded === "true" ? close(row) : open(row)));

  /* ----- the matrix: one tab stop, arrows walk the cells, Enter keeps the evidence of one ----- */
  const cells = [...document.querySelectorAll("#mx tr[data-member]")].map((row) => [...row.querySelectorAll("td[data-start]")]);
  if (!cells.length) return;
  cells[0][0].tabIndex = 0;
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const focus = (to) => { for (const other of document.querySelectorAll("#mx td[tabindex='0']")) other.tabIndex = -1; to.tabIndex = 0; to.focus(); };
  const keep = (one) => { cell = one; show(); };
  $("#mx").addEventListener("keydown", (event) => {
    const y = cells.findIndex((row) => row.includes(event.target));
    if (y < 0) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); keep(event.target); return; }
    const step = steps[event.key], next = step && cells[y + step[0]]?.[cells[y].indexOf(event.target) + step[1]];
    if (step) { event.preventDefault(); event.stopPropagation(); }
    if (next) focus(next);
  });
  $("#mx").addEventListener("click", (event) => { const one = event.target.closest("td[data-start]"); if (one) { focus(one); keep(one); } });
})();
