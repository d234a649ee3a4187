// Adds a Copy button to each .terminal: by script, because without JavaScript it could not work.
for (const terminal of document.querySelectorAll(".terminal")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Copy";
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(terminal.querySelector("code").textContent);
      button.textContent = "Copied";
    } catch {
      // No access to the clipboard, as outside a secure context: select the text, to be copied by hand.
      getSelection().selectAllChildren(terminal.querySelector("code"));
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  terminal.append(button);
}
