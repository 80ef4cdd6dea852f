/* A board: numbers and words change in place; new lines and another order come when the page is loaded again. */
"use strict";
(() => {
  const board = $("#main");
  const cells = Map.groupBy(document.querySelectorAll("[data-cell]"), (cell) => cell.dataset.cell);
  poll(() => `/api/boards/${board.dataset.board}${location.search}`, (data) => {
    for (const [name, [text, css]] of Object.entries(data.cells)) {
      for (const cell of cells.get(name) ?? []) if (cell.textContent !== text) {
        cell.textContent = text;
        cell.classList.add("changed");
        setTimeout(() => cell.classList.remove("changed"), 2000);
      }
      for (const styled of document.querySelectorAll(`[data-class="${CSS.escape(name)}"]`)) if (css) styled.className = css;
    }
  });
})();
