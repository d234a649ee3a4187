// Keeps the overview live: asks for its changing part once a second, and lays it over the old one, element by
// element, so that focus, selections and unfolded logs stay. A hidden tab asks nothing.
import { headers, problemOf } from "./key.js";

const PAUSE_MS = 1000;
const PATIENCE_MS = 5000;
const live = document.getElementById("live");
const lost = document.getElementById("lost");
const outcome = document.getElementById("outcome");
let timer;
let answeredAt = new Date();

async function ask() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const open = [...live.querySelectorAll("details.log[open]")].map((log) => ["log", log.dataset.port]);
    const response = await fetch(`${live.dataset.url}?${new URLSearchParams(open)}`, {
      headers,
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!response.ok) throw new Error(await problemOf(response));
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    layOver(live, fresh.body);
    answeredAt = new Date();
    lost.hidden = true;
    live.classList.remove("stale");
  } catch (error) {
    const own = error instanceof TypeError || error.name === "TimeoutError";
    const problem = own ? "The dashboard does not answer: the run may have ended." : error.message;
    const text = `${problem} What you see is from ${answeredAt.toLocaleTimeString()}.`;
    if (lost.textContent !== text) lost.textContent = text;
    lost.hidden = false;
    live.classList.add("stale");
  }
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE_MS);
}

// Makes the children of one element those of another, keeping every node that can be kept.
function layOver(old, fresh) {
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
      takeAttributes(match, node);
      layOver(match, node);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function takeAttributes(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
}

function tell(kind, text) {
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
  tell("", `${event.submitter.textContent}: under way …`);
  try {
    const response = await fetch(form.getAttribute("action"), { method: "POST", headers, body });
    if (response.ok) tell("ok", (await response.json()).text);
    else tell("bad", await problemOf(response));
  } catch (error) {
    tell("bad", `The dashboard does not answer: ${error.message}.`);
  }
  delete form.dataset.busy;
  form.removeAttribute("aria-busy");
  ask();
});

// An unfolded log is filled at once.
live.addEventListener("toggle", (event) => event.target.open && ask(), true);
document.addEventListener("visibilitychange", ask);
ask();
