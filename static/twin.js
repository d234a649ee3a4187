// Sends the form's request to every server through the dashboard, shows the responses, and keeps the page's own
// address a link to the same request.
import { headers, problemOf } from "./key.js";

const form = document.getElementById("request");
const method = document.getElementById("method");
const warning = document.getElementById("warning");
const problem = document.getElementById("problem");
const answers = document.getElementById("answers");
const safe = form.dataset.safe.split(" ");
// Longer ones make no useful link.
const LONGEST_LINK = 4000;

function warn() {
  warning.hidden = safe.includes(method.value);
  document.getElementById("confirmed").required = !warning.hidden;
}

async function send() {
  const body = new URLSearchParams(new FormData(form));
  const link = new URLSearchParams([...body].filter(([name, value]) => value && name !== "confirmed"));
  if (`${link}`.length < LONGEST_LINK) history.replaceState(null, "", `?${link}`);
  problem.hidden = true;
  form.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(form.getAttribute("action"), { method: "POST", headers, body });
    if (!response.ok) throw new Error(await problemOf(response));
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    answers.replaceChildren(...fresh.body.childNodes);
  } catch (error) {
    answers.replaceChildren();
    problem.textContent = error instanceof TypeError ? "The dashboard does not respond." : error.message;
    problem.hidden = false;
  }
  form.removeAttribute("aria-busy");
}

method.addEventListener("change", warn);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
warn();
if ("run" in form.dataset) send();
