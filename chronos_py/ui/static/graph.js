// Zoom, pan and search in the dependency graph, and its colours while runs begin and end.
import { $, $$ } from "./app.js";

const svg = $("#graph"), canvas = $("#canvas");
if (svg) start();

function start() {
  const whole = { w: Number(svg.dataset.width), h: Number(svg.dataset.height) };
  const nodes = new Map($$(".node", svg).map((node) => [node.dataset.name, node]));
  let view = { x: 0, y: 0, k: 1 }; // what lies in the upper left corner, and pixels per unit
  const box = () => canvas.getBoundingClientRect();

  function show() {
    const { width, height } = box();
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${width / view.k} ${height / view.k}`);
  }
  function zoom(by, px, py) {
    const { width, height } = box();
    px ??= width / 2; py ??= height / 2;
    const k = Math.min(4, Math.max(0.03, view.k * by));
    view = { x: view.x + px / view.k - px / k, y: view.y + py / view.k - py / k, k };
    show();
  }
  function fit() {
    const { width, height } = box();
    const k = Math.min(1.2, width / whole.w, height / whole.h);
    view = { k, x: -(width / k - whole.w) / 2, y: -(height / k - whole.h) / 2 };
    show();
  }
  function center(node) {
    const { width, height } = box(), at = node.transform.baseVal[0].matrix;
    const k = Math.max(view.k, 0.8);
    view = { k, x: at.e + 90 - width / 2 / k, y: at.f + 16 - height / 2 / k };
    show();
  }
  function begin() {
    fit();
    if (view.k < 0.45) { // too small to read: begin where the eye should
      const node = nodes.get(svg.dataset.focus);
      if (node) center(node);
      else {
        view = { k: 0.8, x: 0, y: Math.max(0, whole.h / 2 - box().height / 1.6) };
        show();
      }
    }
    const node = nodes.get(svg.dataset.focus);
    if (node) node.classList.add("here");
  }
  canvas.style.height = `${Math.round(Math.max(220, Math.min(0.7 * innerHeight, whole.h * 1.2 + 40)))}px`;
  begin();
  addEventListener("resize", show);

  $("#zoom-in").addEventListener("click", () => zoom(1.3));
  $("#zoom-out").addEventListener("click", () => zoom(1 / 1.3));
  $("#zoom-fit").addEventListener("click", fit);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { left, top } = box();
    zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - left, event.clientY - top);
  }, { passive: false });

  // One finger or the mouse moves; two fingers zoom.
  const pointers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => { pointers.set(event.pointerId, event); moved = 0; });
  addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    if (pointers.size === 2) {
      const other = [...pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
      const far = (a) => Math.hypot(a.clientX - other.clientX, a.clientY - other.clientY) || 1;
      const { left, top } = box();
      zoom(far(event) / far(before), other.clientX - left, other.clientY - top);
    } else {
      view.x -= (event.clientX - before.clientX) / view.k;
      view.y -= (event.clientY - before.clientY) / view.k;
      show();
    }
    moved += Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
    pointers.set(event.pointerId, event);
  });
  for (const kind of ["pointerup", "pointercancel"]) addEventListener(kind, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("click", (event) => { if (moved > 6) event.preventDefault(); }, true);
  canvas.addEventListener("dragstart", (event) => event.preventDefault());

  canvas.addEventListener("keydown", (event) => {
    const step = 80 / view.k;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (move) { view.x += move[0]; view.y += move[1]; show(); }
    else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("focusin", (event) => { // with the tabulator: keep what has the focus in sight
    const node = event.target.closest(".node");
    if (!node || pointers.size) return;
    const a = node.getBoundingClientRect(), b = box();
    if (a.left < b.left || a.right > b.right || a.top < b.top || a.bottom > b.bottom) center(node);
    canvas.scrollTo(0, 0);
  });

  // Search: marks what matches, Enter goes from one to the next.
  const search = $("#graph-search");
  let hits = [], at = -1;
  search.addEventListener("input", () => {
    const text = search.value.toLowerCase();
    hits = text ? [...nodes].filter(([name]) => name.toLowerCase().includes(text)).map(([, node]) => node) : [];
    at = -1;
    for (const node of nodes.values()) node.classList.toggle("dim", Boolean(text) && !hits.includes(node));
    $("#graph-found").textContent = text ? `${hits.length} / ${nodes.size}` : "";
    if (hits.length) next();
  });
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); next(); } });
  function next() {
    if (!hits.length) return;
    at = (at + 1) % hits.length;
    for (const node of nodes.values()) node.classList.toggle("hit", node === hits[at]);
    center(hits[at]);
  }
  $("[data-go]")?.addEventListener("change", (event) => event.target.form.submit());

  // Live colours: which runs of each job are under way is known from the page on.
  const active = new Map();
  for (const [name, node] of nodes) {
    active.set(name, new Map(node.dataset.runs.split(" ").filter(Boolean).map((run) => {
      const [number, phase] = run.split(":");
      return [Number(number), phase];
    })));
    paint(name);
  }
  function paint(name) {
    const phases = [...active.get(name).values()], node = nodes.get(name);
    const running = phases.some((phase) => ["running", "launching", "reporting"].includes(phase));
    node.classList.toggle("running", running);
    node.classList.toggle("queued", !running && phases.length > 0);
  }
  const source = new EventSource("/api/events");
  source.addEventListener("open", () => { $("#live-state").textContent = "●"; });
  source.addEventListener("error", () => { $("#live-state").textContent = "○"; });
  source.addEventListener("run", (event) => {
    const { run, job, phase } = JSON.parse(event.data);
    if (!nodes.has(job)) return;
    active.get(job).set(run, phase);
    paint(job);
  });
  source.addEventListener("ended", (event) => {
    const { run, job, outcome } = JSON.parse(event.data);
    if (!nodes.has(job)) return;
    active.get(job).delete(run);
    if (outcome !== "skipped" && outcome !== "merged" && outcome !== "killed") {
      const node = nodes.get(job);
      node.classList.remove("success", "failure", "fresh");
      node.classList.add(outcome === "success" ? "success" : "failure");
    }
    paint(job);
  });
  addEventListener("pagehide", () => source.close());
}
