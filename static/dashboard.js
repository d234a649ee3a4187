// Keeps the overview live: requests its changing part once a second, and merges it into the page element by
// element, so that focus, selections and open logs are kept. A hidden tab does not poll.
import { headers, problemOf } from "./key.js";

const INTERVAL_MS = 1000;
const TIMEOUT_MS = 5000;
const live = document.getElementById("live");
const lost = document.getElementById("lost");
const keyless = document.getElementById("keyless"); // on the dashboard only
const outcome = document.getElementById("outcome");
let timer;
let respondedAt = new Date();

async function refresh() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const open = [...live.querySelectorAll("details.log[open]")].map((log) => ["log", log.dataset.port]);
    const response = await fetch(`${live.dataset.url}?${new URLSearchParams(open)}`, {
      headers,
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (!response.ok) throw new Error(await problemOf(response));
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    merge(live, fresh.body);
    respondedAt = new Date();
    lost.hidden = true;
    if (keyless) keyless.hidden = live.querySelector(".log") !== null;
    live.classList.remove("stale");
  } catch (error) {
    const own = error instanceof TypeError || error.name === "TimeoutError";
    const problem = own ? "The dashboard does not respond: the run may have ended." : error.message;
    const text = `${problem} This page shows the state at ${respondedAt.toLocaleTimeString()}.`;
    if (lost.textContent !== text) lost.textContent = text;
    lost.hidden = false;
    live.classList.add("stale");
  }
  clearTimeout(timer);
  timer = setTimeout(refresh, INTERVAL_MS);
}

// Makes the children of one element equal to those of another; nodes that match are kept.
function merge(old, fresh) {
  const keyed = new Map([...old.children].filter((child) => child.dataset.key).map((child) => [child.dataset.key, child]));
  let at = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    const key = node.dataset?.key;
    let match = key ? keyed.get(key) : at;
    if (!match || match.nodeName !== node.nodeName || (!key && match.dataset?.key)) match = null;
    if (!match) {
      old.insertBefore(node, at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    if (match.nodeType !== Node.ELEMENT_NODE) {
      if (match.nodeValue !== node.nodeValue) match.nodeValue = node.nodeValue;
    } else if (match.dataset.busy === undefined) {
      copyAttributes(match, node);
      merge(match, node);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function copyAttributes(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
}

function showOutcome(kind, text) {
  outcome.className = `note toast ${kind}`;
  outcome.textContent = text;
  outcome.hidden = false;
}

live.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  if (form.dataset.busy !== undefined) return;
  const body = new URLSearchParams(new FormData(form, event.submitter));
  form.dataset.busy = "";
  form.setAttribute("aria-busy", "true");
  showOutcome("", `${event.submitter.textContent}: in progress …`);
  try {
    const response = await fetch(form.getAttribute("action"), { method: "POST", headers, body });
    if (response.ok) showOutcome("ok", (await response.json()).text);
    else showOutcome("bad", await problemOf(response));
  } catch (error) {
    showOutcome("bad", `The dashboard does not respond: ${error.message}.`);
  }
  delete form.dataset.busy;
  form.removeAttribute("aria-busy");
  refresh();
});

// A log that is opened is filled at once.
live.addEventListener("toggle", (event) => event.target.open && refresh(), true);
document.addEventListener("visibilitychange", refresh);
refresh();
