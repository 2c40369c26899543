// Restoring a revision.
import { $, confirmed, toast } from "./app.js";

const button = $("#restore");
button?.addEventListener("click", async () => {
  if (!(await confirmed(button.dataset.question))) return;
  const { name, number, etag, then } = button.dataset;
  const headers = { "Content-Type": "application/json", ...(etag ? { "If-Match": etag } : {}) };
  const answer = await fetch(`/api/jobs/${encodeURIComponent(name)}/revisions/${number}/restore`, { method: "POST", headers });
  if (answer.ok) { location.href = then; return; }
  const read = await answer.json().catch(() => ({}));
  toast(answer.status === 412 ? button.dataset.conflict : read.error?.message ?? answer.statusText, true);
});
