// The editor: a form and a JSON text over one document. The server checks while one types; only what differs is sent.
import { $, $$ } from "./app.js";

const form = $("#editor"), json = $("#json"), t = form.dataset;
const name = form.dataset.name;
const original = JSON.parse($("#original").value);
let doc = structuredClone(original); // what would be saved
let etag = form.dataset.etag;
let problems = [], broken = {}; // what the server says; what cannot even be sent, by field
let saved = false, tried = false; // to save

const same = (a, b) => stable(a) === stable(b);
function stable(value) {
  return JSON.stringify(value, (_, v) => (v && typeof v === "object" && !Array.isArray(v)
    ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1))) : v)) ?? "undefined";
}
const lines = (text) => text.split("\n").map((line) => line.trimEnd()).filter((line) => line.trim());

// --- between a document's value and a field's text, by kind
const KINDS = {
  line: { show: (v) => v ?? "", read: (s) => s },
  text: { show: (v) => v ?? "", read: (s) => s },
  choice: { show: (v) => v ?? "", read: (s) => s },
  number: {
    show: (v) => (v ?? "").toString(),
    read: (s) => {
      if (!s.trim()) return "";
      if (!/^\s*-?(\d+\.?\d*|\.\d+)\s*$/.test(s)) throw new Error(t.tNumber);
      return Number(s);
    },
  },
  lines: { show: (v) => (Array.isArray(v) ? v.join("\n") : ""), read: (s) => lines(s).map((line) => line.trim()) },
  variables: {
    show: (v) => (Array.isArray(v) ? v.map((item) => `${item.name}=${item.value}`).join("\n") : ""),
    read: (s) => lines(s).map((line) => { const [key, value] = pair(line); return { name: key, value }; }),
  },
  labels: {
    show: (v) => Object.entries(v ?? {}).map(([key, value]) => `${key}=${value}`).join("\n"),
    read: (s) => Object.fromEntries(lines(s).map(pair)),
  },
  constraints: {
    show: (v) => (Array.isArray(v) ? v.map((item) => item.join(" ")).join("\n") : ""),
    read: (s) => lines(s).map((line) => {
      const found = line.trim().match(/^(\S+)\s+(\S+)(?:\s+(.*))?$/);
      return found ? [found[1], found[2], ...(found[3] === undefined ? [] : [found[3]])] : [line.trim()];
    }),
  },
};
function pair(line) {
  const at = line.indexOf("=");
  if (at < 1) throw new Error(t.tPair);
  return [line.slice(0, at).trim(), line.slice(at + 1)];
}

const rows = $$("[data-field]", form).map((row) => ({
  row, field: row.dataset.field, kind: row.dataset.kind, input: $("input, textarea, select", row), error: $(".error", row),
}));
const byField = new Map(rows.map((entry) => [entry.field, entry]));

function fillForm(except) {
  for (const { field, kind, input } of rows) {
    if (input === except) continue;
    if (kind === "truth") input.checked = field in doc ? doc[field] === true : field === "shell";
    else {
      const text = KINDS[kind].show(doc[field]);
      // What its text could not say in full (line ends in values, other types) the field must not change.
      if (field !== "name" && input.matches("input, textarea")) input.readOnly = !sayable(kind, text, doc[field]);
      const shown = input.readOnly ? visible(text) : text;
      if (input.value !== shown) input.value = shown;
    }
  }
  const which = doc.parents !== undefined ? "parents" : "schedule";
  for (const radio of $$("[name=when]", form)) radio.checked = radio.value === which;
  for (const part of $$("[data-when]", form)) part.hidden = part.dataset.when !== which;
}
function sayable(kind, text, value) {
  if (value === undefined || value === null || text === "") return true;
  if (INVISIBLE.test(text) || (kind === "line" && text.includes("\n"))) return false;
  try { return same(KINDS[kind].read(text), value); } catch { return false; }
}
// What nobody sees, or what turns the direction of the text around it, is shown as a code. In JSON the code is the same.
const INVISIBLE = /(?![\n\t])[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/u;
const code = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
const visible = (text) => text.replace(new RegExp(INVISIBLE, "gu"), (char) => char.split("").map(code).join(""));
function fillJson() { json.value = visible(JSON.stringify(doc, null, 2)); $("#json-error").textContent = ""; delete broken[""]; }

function fromField({ field, kind, input }) {
  delete broken[field];
  try {
    let value = kind === "truth" ? input.checked : KINDS[kind].read(input.value);
    const empty = value === "" || (typeof value === "object" && !Object.keys(value).length);
    if (kind === "truth" && !(field in original) && value === (field === "shell")) value = undefined;
    else if (empty && field !== "parents" && field !== "schedule") value = field in original ? emptied(original[field]) : undefined;
    if (value === undefined) delete doc[field]; else doc[field] = value;
  } catch (error) {
    broken[field] = error.message;
  }
}
function emptied(value) { // what an empty field means where there was something
  if (typeof value === "string") return "";
  if (Array.isArray(value)) return [];
  return undefined; // its default
}

form.addEventListener("input", (event) => {
  if (event.target === json) return fromJson();
  if (event.target.name === "when") return choose(event.target.value);
  const entry = rows.find(({ input }) => input === event.target);
  if (!entry) return;
  fromField(entry);
  fillJson();
  later();
});
function fromJson() {
  try {
    const read = JSON.parse(json.value);
    if (!read || typeof read !== "object" || Array.isArray(read)) throw new Error("{ … }");
    doc = read;
    broken = {};
    $("#json-error").textContent = "";
    fillForm();
    later();
  } catch (error) {
    broken[""] = `${t.tJson} ${error.message}`;
    $("#json-error").textContent = broken[""];
    mark();
  }
}
function choose(which) {
  if (which === "parents") { doc.parents = original.parents ?? []; delete doc.schedule; delete doc.scheduleTimeZone; }
  else { delete doc.parents; doc.schedule = original.schedule ?? `R/${new Date().toISOString().slice(0, 10)}T00:00:00Z/P1D`; }
  fillForm();
  fillJson();
  later();
}
$("#add-parent").addEventListener("change", (event) => {
  const value = event.target.value.trim();
  if (!value) return;
  doc.parents = [...new Set([...(doc.parents ?? []), value])];
  event.target.value = "";
  fillForm();
  fillJson();
  later();
});
$("#add-parent").addEventListener("keydown", (event) => {
  if (event.key === "Enter") { event.preventDefault(); event.target.dispatchEvent(new Event("change")); }
});

/** Return what differs from what was loaded: null sets a field's default. */
function changes() {
  const found = {};
  for (const field of new Set([...Object.keys(original), ...Object.keys(doc)])) {
    if (!same(original[field], doc[field])) found[field] = doc[field] === undefined ? null : doc[field];
  }
  if ("parents" in found && found.parents === null) delete found.parents; // the schedule takes its place
  if (found.parents) for (const field of ["schedule", "scheduleTimeZone"]) if (found[field] === null) delete found[field];
  return found;
}

// --- checking: the newest answer counts
let timer, asked = 0;
function later() { clearTimeout(timer); timer = setTimeout(check, 250); mark(); }
async function check() {
  const number = ++asked;
  const body = name ? { name, changes: changes() } : { document: doc };
  try {
    const answer = await fetch("/api/validate", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    const read = await answer.json();
    if (number !== asked) return;
    if (!answer.ok) problems = [{ field: read.error.field ?? "", message: read.error.message }];
    else { problems = read.problems; preview(read.upcoming); }
  } catch (error) {
    if (number !== asked) return;
    problems = [{ field: "", message: error.message }];
  }
  mark();
}
function mark() {
  const changed = changes();
  const unplaced = [];
  for (const { row, field, input, error } of rows) {
    const own = problems.filter((problem) => problem.field.split(/[.[]/)[0] === field).map((problem) => problem.message);
    if (broken[field]) own.unshift(broken[field]);
    const text = field === "name" && !doc.name && !tried ? "" : own.join("; "); // nobody has had the time to write it
    if (error.textContent !== text) error.textContent = text;
    input.setAttribute("aria-invalid", text ? "true" : "false");
    row.classList.toggle("changed", Boolean(name) && field in changed);
  }
  for (const problem of problems) {
    const entry = byField.get(problem.field.split(/[.[]/)[0]);
    if (!entry || entry.row.closest("[hidden]")) unplaced.push(problem.field ? `${problem.field}: ${problem.message}` : problem.message);
  }
  const wrong = problems.length || Object.keys(broken).length;
  const line = $("#problems");
  line.textContent = unplaced.length ? unplaced.join("; ") : wrong ? t.tWrong : t.tOk;
  line.classList.toggle("error", Boolean(wrong));
}
function preview(upcoming) {
  const box = $("#preview");
  if (!upcoming) {
    const scheduled = doc.parents === undefined;
    if (scheduled && problems.length) return;
    box.textContent = scheduled ? t.tKept : t.tParents;
    return;
  }
  const list = document.createElement("ol");
  for (const time of upcoming.times) {
    const item = document.createElement("li");
    item.textContent = time.local + (time.note ? ` ⚠ ${time.note}` : "");
    list.append(item);
  }
  const parts = [list];
  if (!upcoming.times.length) { const none = document.createElement("p"); none.textContent = t.tNone; parts[0] = none; }
  if (upcoming.passed) {
    const passed = document.createElement("p");
    passed.className = "muted small";
    passed.textContent = t.tPassed.replace("{n}", upcoming.passed);
    parts.push(passed);
  }
  box.replaceChildren(...parts);
}

// --- review and save
const review = $("#review");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clearTimeout(timer);
  tried = true;
  if (!Object.keys(broken).length) await check();
  const wrong = problems.length || Object.keys(broken).length;
  if (wrong) {
    mark();
    const bad = $("[aria-invalid=true]", form);
    (bad && !bad.closest("[hidden]") ? bad : json).focus();
    return;
  }
  const found = name ? changes() : doc;
  if (name && !Object.keys(found).length) { $("#problems").textContent = t.tNothing; return; }
  const body = $("#review-rows");
  body.replaceChildren(...Object.keys(found).map((field) => {
    const row = document.createElement("tr");
    const cells = [field, name ? text(original[field]) : "", text(found[field])];
    cells.forEach((value, at) => {
      const cell = document.createElement("td");
      cell.textContent = value;
      if (at === 1 && value) cell.className = "was";
      if (at === 2 && value) cell.className = "is";
      row.append(cell);
    });
    return row;
  }));
  $("#review-error").textContent = "";
  $("#review-conflict").hidden = true;
  review.showModal();
  $("#review-save").focus();
});
function text(value) {
  if (value === undefined || value === null) return "";
  const shown = typeof value === "string" ? value : JSON.stringify(value, null, 1);
  return shown.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
$("#review-cancel").addEventListener("click", () => review.close());
$("#review-save").addEventListener("click", async () => {
  const button = $("#review-save");
  button.disabled = true;
  try {
    const headers = { "Content-Type": "application/json", Accept: "application/json" };
    if (etag) headers["If-Match"] = etag;
    const answer = name
      ? await fetch(`/api/jobs/${encodeURIComponent(name)}`, { method: "PATCH", headers, body: JSON.stringify(changes()) })
      : await fetch("/api/jobs", { method: "POST", headers, body: JSON.stringify(doc) });
    if (answer.ok) {
      saved = true;
      location.href = `${t.saved}?name=${encodeURIComponent(name || doc.name)}`;
      return;
    }
    const read = await answer.json().catch(() => ({}));
    $("#review-error").textContent = answer.status === 412 ? t.tChanged : read.error?.message ?? answer.statusText;
    $("#review-conflict").hidden = answer.status !== 412;
  } catch (error) {
    $("#review-error").textContent = error.message;
  }
  button.disabled = false;
});
addEventListener("beforeunload", (event) => { if (!saved && !same(original, doc)) event.preventDefault(); });
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "s") { event.preventDefault(); if (!review.open) form.requestSubmit(); }
});

fillForm();
check();
