// Output as it comes: asks for what is new, twice a second at first and more rarely when nothing comes.
import { $, call } from "./app.js";

const text = $("#text"), box = $("#follow");
const LARGEST = 2_000_000; // characters that a page keeps; the file has them all

async function follow() {
  let pause = 500;
  let end = Number(text.dataset.end), look = text.dataset.look;
  for (;;) {
    await new Promise((done) => setTimeout(done, pause));
    if (!box.checked || document.hidden) continue;
    let answer;
    try {
      answer = await fetch(`${text.dataset.from}?offset=${end}&look=${encodeURIComponent(look)}`);
    } catch { pause = 5000; continue; }
    if (!answer.ok) return;
    const html = await answer.text(), next = Number(answer.headers.get("X-End"));
    if (next > end) {
      end = next;
      look = answer.headers.get("X-Look");
      $("#nothing")?.remove();
      text.insertAdjacentHTML("beforeend", html); // made and escaped by the server
      while (text.textContent.length > LARGEST && text.firstChild) text.firstChild.remove();
      text.scrollTop = text.scrollHeight;
      pause = 500;
    } else {
      if (answer.headers.get("X-Ended") === "true") return;
      pause = Math.min(3000, pause * 1.3);
    }
  }
}
// The page is loaded anew when the run has come further: starts, is tried again, ends.
const run = $("#run")?.dataset;
async function watch() {
  for (;;) {
    await new Promise((done) => setTimeout(done, 3000));
    if (document.hidden || document.activeElement?.matches("input")) continue;
    try {
      const now = await call("GET", `/api/runs/${run.run}`);
      if (now.state !== run.state || now.attemptList.length !== Number(run.attempts)) { location.reload(); return; }
    } catch { /* the server starts anew, or a new leader is chosen */ }
  }
}
if (run?.run) watch();

if (text) {
  text.scrollTop = text.scrollHeight;
  if (text.dataset.follow === "yes") {
    box.hidden = $("#follow-label").hidden = false;
    box.checked = true;
    follow();
  }
}
