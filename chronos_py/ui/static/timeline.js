// Dragging over the timeline zooms into that part; + - and the arrows work, too.
import { $ } from "./app.js";

const gantt = $("#gantt");
if (gantt) {
  const begin = Number(gantt.dataset.from), length = Number(gantt.dataset.to) - begin;
  const mark = document.createElement("div");
  mark.className = "gantt-mark";
  let from = null;
  const place = (event) => {
    const { left, width } = gantt.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - left) / width));
  };
  const iso = (share) => `${new Date(begin + share * length).toISOString().slice(0, 19)}Z`;
  gantt.addEventListener("pointerdown", (event) => { if (event.pointerType === "mouse" && event.button === 0) from = place(event); });
  gantt.addEventListener("dragstart", (event) => event.preventDefault());
  addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = place(event);
    if (Math.abs(to - from) < 0.01) return;
    if (!mark.parentNode) gantt.append(mark);
    mark.style.left = `${Math.min(from, to) * 100}%`;
    mark.style.width = `${Math.abs(to - from) * 100}%`;
  });
  let dragged = false;
  addEventListener("pointerup", (event) => {
    if (from === null) return;
    const to = place(event), first = Math.min(from, to), last = Math.max(from, to);
    from = null;
    mark.remove();
    dragged = last - first >= 0.01;
    if (!dragged) return;
    const address = new URL(location.href);
    address.searchParams.delete("span");
    address.searchParams.delete("page");
    address.searchParams.set("from", iso(first));
    address.searchParams.set("to", iso(last));
    location.href = address;
  });
  gantt.addEventListener("click", (event) => { if (dragged) event.preventDefault(); dragged = false; }, true);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select") || $("dialog[open]")) return;
  const move = { "+": "closer", "=": "closer", "-": "farther", ArrowLeft: "earlier", ArrowRight: "later" }[event.key];
  if (!move) return;
  event.preventDefault();
  $(`[data-move=${move}]`).click();
});
