// What all pages share: keyboard shortcuts, calls of the public API, confirmation, live parts, relative times.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Show a short message for a while. */
export function toast(text, bad = false) {
  const item = document.createElement("div");
  item.className = bad ? "toast bad" : "toast";
  item.textContent = text;
  $("#toasts").append(item);
  setTimeout(() => item.remove(), bad ? 9000 : 3500);
}

/** Call the API. Throws an Error with the server's sentence. */
export async function call(method, path, body) {
  const options = { method, headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(path, options);
  const text = await answer.text();
  if (!answer.ok) {
    let reason = answer.headers.get("X-Chronos-Error") || text || answer.statusText;
    try {
      const read = JSON.parse(text);
      reason = read.error?.message ?? read.message ?? reason;
    } catch { /* not JSON: the text itself */ }
    throw new Error(reason.slice(0, 500));
  }
  try { return JSON.parse(text); } catch { return text; }
}

/** Ask before something that cannot be undone; `node` may give details. */
export function confirmed(title, node) {
  const dialog = $("#confirm");
  $("#confirm-title").textContent = title;
  $("#confirm-text").replaceChildren(...(node ? [node] : []));
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true });
  });
}

const jobPath = (name) => `/v1/scheduler/job/${encodeURIComponent(name)}`;
/** What can be done with a job, by name. */
export const ACTIONS = {
  run: (name) => call("PUT", jobPath(name)),
  kill: (name) => call("DELETE", `/v1/scheduler/task/kill/${encodeURIComponent(name)}`),
  delete: (name) => call("DELETE", jobPath(name)),
  enable: (name) => call("PATCH", `/api/jobs/${encodeURIComponent(name)}`, { disabled: false }),
  disable: (name) => call("PATCH", `/api/jobs/${encodeURIComponent(name)}`, { disabled: true }),
  "kill-run": (number) => call("DELETE", `/api/runs/${number}`),
};

/** Fetch what the server says about deleting some jobs: it names the children. */
async function consequences(names) {
  const body = new URLSearchParams(names.map((name) => ["name", name]));
  const answer = await fetch(`/ui/consequences?${body}`);
  const box = document.createElement("div");
  box.innerHTML = answer.ok ? await answer.text() : ""; // escaped by the server
  return box;
}

/** Do one thing to several jobs, one after the other. Returns how many it worked for, null when the user said no. */
export async function act(action, names, question) {
  if (question && !(await confirmed(question, action === "delete" ? await consequences(names) : null))) return null;
  let done = 0;
  for (const name of names) {
    try {
      await ACTIONS[action](name);
      done += 1;
    } catch (error) {
      toast(`${$("#toasts").dataset.failed}: ${name}: ${error.message}`, true);
    }
  }
  if (done) toast(`${$("#toasts").dataset.done}: ${done}/${names.length}`);
  return done;
}

// Buttons that do something to one job or run: data-action, data-name, data-question, data-then (where to go).
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-action][data-name]");
  if (!button) return;
  button.disabled = true;
  const done = await act(button.dataset.action, [button.dataset.name], button.dataset.question);
  button.disabled = false;
  if (!done) return;
  if (button.dataset.then) location.href = button.dataset.then;
  else setTimeout(() => location.reload(), 600);
});

// --- keyboard
let waiting = false;
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select, [contenteditable]") || $("dialog[open]")) return;
  if (waiting) {
    waiting = false;
    const link = $(`nav a[data-key="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  if (event.key === "g") { waiting = true; setTimeout(() => { waiting = false; }, 1500); }
  else if (event.key === "/") { event.preventDefault(); ($("main input[type=search]") || $("#find")).focus(); }
  else if (event.key === "?") $("#keys").showModal();
  else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
});

function step(by) {
  const links = $$("main tbody tr").map((row) => $("a[href]", row)).filter(Boolean);
  if (!links.length) return;
  const at = links.findIndex((link) => link.closest("tr").contains(document.activeElement));
  links[Math.min(links.length - 1, Math.max(0, at + by))].focus();
}

// --- colours, without a new page
$("[data-theme-switch]")?.addEventListener("click", async (event) => {
  if ($("img.chart")) return; // charts are drawn anew, with the page
  event.preventDefault();
  const url = event.currentTarget.href;
  const answer = await fetch(url);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.documentElement.dataset.theme = page.documentElement.dataset.theme;
  $("meta[name=color-scheme]").content = $("meta[name=color-scheme]", page).content;
  const link = $("[data-theme-switch]"), other = $("[data-theme-switch]", page);
  for (const name of ["href", "title", "aria-label"]) link.setAttribute(name, other.getAttribute(name));
  link.textContent = other.textContent;
});

// --- live parts: the server sends the HTML of what changed, by the name in data-live
export function follow(address) {
  const source = new EventSource(address);
  source.addEventListener("parts", (event) => {
    for (const [name, html] of Object.entries(JSON.parse(event.data))) {
      for (const part of $$(`[data-live="${CSS.escape(name)}"]`)) {
        const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        part.innerHTML = html; // made and escaped by the server's own template
        if (focused) $(`a[href="${CSS.escape(focused)}"]`, part)?.focus();
      }
    }
  });
  addEventListener("pagehide", () => source.close());
  return source;
}
const live = $("[data-live-from]");
if (live) {
  let source = follow(live.dataset.liveFrom);
  document.addEventListener("visibilitychange", () => { // nobody looks: nothing is sent
    if (document.hidden) source.close();
    else source = follow(live.dataset.liveFrom);
  });
}
