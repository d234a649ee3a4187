// Lets this page request its own origin and another one, and shows what the browser lets it read. The page's
// content security policy allows both requests: it is the same-origin policy that hides the second response, as
// from any page. The browser logs that to its console. And keeps a note in the storage of this origin.
const root = document.getElementById("origins");
const NOTE = "webdemo-note";

const request = (url, options) =>
  fetch(url, { headers: { Accept: "application/json" }, cache: "no-store", credentials: "omit", ...options });

function report(kind, title, text) {
  const note = document.createElement("p");
  note.className = `note ${kind}`;
  const strong = document.createElement("strong");
  strong.textContent = title;
  note.append(strong, ` ${text}`);
  document.getElementById("answers").append(note);
}

function difference(origin) {
  const { hostname, port } = new URL(origin);
  return [hostname !== location.hostname && "name", port !== location.port && "port"].filter(Boolean).join(" and ");
}

if (root) {
  const button = document.getElementById("ask");
  button.hidden = false;
  button.addEventListener("click", async () => {
    button.disabled = true;
    document.getElementById("answers").replaceChildren();
    const other = document.getElementById("other").value;
    try {
      const facts = await (await request(root.dataset.own)).json();
      report("ok", `${location.origin} was read.`, `${facts.answered_by.server}, process ${facts.answered_by.process}.`);
    } catch (error) {
      report("bad", `${location.origin} did not respond.`, error.message);
    }
    try {
      await request(`${other}/`, { mode: "no-cors", headers: {} });
      report("ok", `${other} was reached.`, "It responded, but the response is opaque: a page may send such a request, and cannot see the result.");
      try {
        await request(`${other}/inspect`, { headers: {} });
        report("warn", `${other} was read.`, "It allows other origins with a CORS header.");
      } catch (error) {
        report("bad", `${other} may not be read.`, `The browser refused: “${error.message}”. It is another origin: its ${difference(other)} differs.`);
      }
    } catch (error) {
      report("bad", `${other} did not respond.`, `${error.message}. Perhaps it has stopped.`);
    }
    button.disabled = false;
  });
}

function showNote() {
  const stored = localStorage.getItem(NOTE);
  document.getElementById("stored").textContent = stored
    ? `Stored by a page of ${location.origin}: “${stored}”`
    : `Nothing is stored under ${location.origin}.`;
}

try {
  showNote();
  document.getElementById("note").hidden = false;
  document.getElementById("leave").addEventListener("click", () => {
    localStorage.setItem(NOTE, `a note of ${new Date().toLocaleTimeString()}`);
    showNote();
  });
} catch {
  // This browser allows no storage.
}
