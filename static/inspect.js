// Lets the form of /inspect use any method: HTML forms support GET and POST only.
const form = document.getElementById("send-form");
const methods = ["POST", "GET", "PUT", "PATCH", "DELETE", "OPTIONS"];

const select = document.createElement("select");
select.id = "method";
select.append(...methods.map((method) => new Option(method)));
const label = document.createElement("label");
label.htmlFor = "method";
label.textContent = "Method";
const field = document.createElement("div");
field.className = "field";
field.append(label, select);
form.prepend(field);
form.querySelector("button").textContent = "Send";

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const method = select.value;
  const body = method === "GET" ? undefined : form.elements.body.value;
  const response = await fetch(form.action, { method, body, headers: { Accept: "text/html" } });
  const shown = new DOMParser().parseFromString(await response.text(), "text/html");
  document.title = shown.title;
  // An error page has no #request: it replaces the whole content.
  const part = shown.getElementById("request") ? "#request" : "main";
  document.querySelector(part).replaceWith(shown.querySelector(part));
  const heading = document.querySelector("h1");
  heading.tabIndex = -1;
  heading.focus();
});
