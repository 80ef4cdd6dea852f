/* What every page that changes something says afterwards: done, refused, or who was quicker. */
"use strict";

/* `data` is one outcome or a list of them; nothing is overwritten, so a conflict only has to be told. */
function tellOutcome(status, data) {
  const outcomes = Array.isArray(data) ? data : [data];
  const failed = outcomes.filter((one) => !one.done && (one.error || status !== 200));
  if (!failed.length) { tell(T("Done: {n}", { n: outcomes.length }), false); return; }
  const lines = failed.slice(0, 5).map((one) => (one.conflict?.length
    ? one.conflict.map((entry) => T("{who} changed this at {time}: {before} to {after}. Yours was not written.", {
      who: entry.who || T("The centre"), time: entry.at.slice(11, 19) + " UTC", before: entry.before || "-", after: entry.after || entry.deed })).join(" ")
    : one.error || T("That did not work; nothing was changed.")));
  tell(lines.join("\n"), true);
}

function tell(text, isFault) {
  let box = $("#outcome");
  if (!box) {
    box = document.createElement("p");
    box.id = "outcome";
    document.body.append(box);
  }
  box.className = isFault ? "outcome fault" : "outcome";
  box.textContent = text;
  box.hidden = false;
  say(text);
  if (!isFault) setTimeout(() => { box.hidden = true; }, 4000);
}
document.addEventListener("click", (event) => { if (event.target.id === "outcome") event.target.hidden = true; });
