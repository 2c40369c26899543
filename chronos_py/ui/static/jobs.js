// The list of jobs: search as you type, and things done to many jobs at once.
import { $, $$, act } from "./app.js";

const form = $("#filters"), list = $("#list"), bulk = $("#bulk");
const chosen = new Set(); // names, kept while the list is searched and turned over
let asked = 0;

async function load(address, push) {
  const number = ++asked, part = new URL(address, location.href);
  part.searchParams.set("part", "list");
  const answer = await fetch(part);
  if (number !== asked || !answer.ok) return; // a later search is on its way
  list.innerHTML = await answer.text(); // made and escaped by the server's own template
  const shown = new URL(address, location.href);
  history[push ? "pushState" : "replaceState"](null, "", shown);
  mark();
}

function search() {
  const given = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  load(`${form.getAttribute("action")}?${given}`, false);
}
let pause;
form.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(search, 150); });
form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(pause); search(); });
list.addEventListener("click", (event) => {
  const link = event.target.closest("thead a, .pager a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  for (const name of ["sort", "dir"]) {
    const value = new URL(link.href).searchParams.get(name);
    $(`input[type=hidden][name=${name}]`, form)?.remove();
    if (value) form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  }
  load(link.href, true).then(() => list.scrollIntoView({ block: "nearest" }));
});
addEventListener("popstate", () => location.reload());

function mark() {
  for (const box of $$("tbody input[type=checkbox]", list)) box.checked = chosen.has(box.value);
  bulk.hidden = chosen.size === 0;
  $("#count").textContent = chosen.size;
}
list.addEventListener("change", (event) => {
  const boxes = event.target.id === "all" ? $$("tbody input[type=checkbox]", list) : [event.target];
  for (const box of boxes) {
    if (event.target.checked) chosen.add(box.value);
    else chosen.delete(box.value);
  }
  mark();
});
bulk.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-bulk]");
  if (!button) return;
  if (button.dataset.bulk !== "none") {
    const done = await act(button.dataset.bulk, [...chosen], button.dataset.question);
    if (done === null) return;
  }
  chosen.clear();
  const all = $("#all");
  if (all) all.checked = false;
  mark();
  setTimeout(() => load(location.href, false), 300);
});
mark();
