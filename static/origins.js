// Lets this page ask its own server and one on another port, and shows what the browser lets it read. The
// page's content security policy allows both requests: it is the same-origin policy that keeps the second
// answer back, as for any page. Browsers note it on their console, and that is right.
const root = document.getElementById("origins");
const answers = document.getElementById("answers");
const button = document.getElementById("ask");

const ask = (url, options) =>
  fetch(url, { headers: { Accept: "application/json" }, cache: "no-store", credentials: "omit", ...options });

function report(kind, title, text) {
  const note = document.createElement("p");
  note.className = `note ${kind}`;
  const strong = document.createElement("strong");
  strong.textContent = title;
  note.append(strong, ` ${text}`);
  answers.append(note);
}

button.disabled = false;
button.addEventListener("click", async () => {
  button.disabled = true;
  answers.replaceChildren();
  const other = document.getElementById("other").value;
  try {
    const facts = await (await ask(root.dataset.own)).json();
    report("ok", `${location.origin} was read.`, `${facts.answered_by.server}, process ${facts.answered_by.process}.`);
  } catch (error) {
    report("bad", `${location.origin} did not answer.`, error.message);
  }
  try {
    await ask(`${other}/`, { mode: "no-cors", headers: {} });
    report("ok", `${other} was reached.`, "Its answer came, sealed: a page may send such a request, and not look at what comes back.");
    try {
      await ask(`${other}/inspect`, { headers: {} });
      report("warn", `${other} was read.`, "It allows other origins with a CORS header.");
    } catch (error) {
      report("bad", `${other} may not be read.`, `The browser refused: “${error.message}”. It is another origin, because its port is another.`);
    }
  } catch (error) {
    report("bad", `${other} did not answer.`, `${error.message}. Perhaps it has stopped.`);
  }
  button.disabled = false;
});
