// Keeps the list of notes as it is on the server. Without this script the page works, and is reloaded by hand.

const list = document.getElementById("notes");
const status = document.getElementById("live");
let shown = list.dataset.revision;

function say(text, state) {
  status.hidden = false;
  if (status.textContent !== text) status.textContent = text; // a screen reader reads each change
  status.dataset.state = state;
}

async function refresh(revision) {
  const response = await fetch(location.href);
  if (response.redirected) return location.reload(); // signed out in another tab
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const focused = document.activeElement?.closest("#notes a")?.getAttribute("href");
  list.replaceChildren(...page.getElementById("notes").childNodes);
  if (focused) list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  shown = revision;
  say("Updated just now", "on");
}

const source = new EventSource(list.dataset.events);
source.addEventListener("message", (event) => {
  if (event.data === shown) say("Live", "on");
  else refresh(event.data).catch(() => say("Reconnecting…", "off"));
});
source.addEventListener("error", () => say("Reconnecting…", "off"));
addEventListener("pagehide", () => source.close());
