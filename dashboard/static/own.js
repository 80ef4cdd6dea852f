/* An institution's viewer answers findings. */
"use strict";
for (const form of document.querySelectorAll(".answer-form")) form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = { verdict: form.verdict.value, incident: form.incident.value, reason: form.reason.value };
  const { status, data } = await send("POST", `/api/v1/own/findings/${encodeURIComponent(form.dataset.finding)}/answer`, body);
  if (status === 200) location.reload(); else tellOutcome(status, data);
});
