// Adds a Copy button to each .terminal. Made here, so that without JavaScript nothing is offered in vain.
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
      // No clipboard outside a secure context, or none allowed: select the text to copy by hand.
      getSelection().selectAllChildren(terminal.querySelector("code"));
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  terminal.append(button);
}
