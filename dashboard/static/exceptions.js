/* Putting exceptions into force and ending them. */
"use strict";
for (const button of document.querySelectorAll("[data-exception]")) button.addEventListener("click", async () => {
  const { status, data } = await send("POST", `/api/v1/exceptions/${encodeURIComponent(button.dataset.exception)}`, { state: button.dataset.state });
  if (status === 200) location.reload(); else tellOutcome(status, data);
});
