// Added to pages by --live-reload. Asks a few times a second, while the page is visible, which version of the site there
// is: a new one reloads the page, new styles are exchanged in place, and an error of the new code is shown over the page.
(() => {
  const PAUSE = 100;
  const PAUSE_WHILE_LOADING = 10;
  const own = document.currentScript;
  // A frame of the same site is reloaded with the page around it.
  try {
    if (window.top !== window && window.top.document) return;
  } catch {}
  const seen = own.dataset.version;
  let styles = null;
  let overlay = null;
  let timer = 0;
  let isAsking = false;

  async function ask() {
    clearTimeout(timer);
    if (document.visibilityState !== "visible" || isAsking) return;
    isAsking = true;
    let pause = 2000; // live reload is not on any more, or another server has the port
    try {
      const response = await fetch("/.webdemo-live", { cache: "no-store", credentials: "same-origin" });
      if (response.ok) {
        const state = await response.json();
        if (`${state.release} ${state.files}` !== seen) {
          isAsking = false;
          location.reload();
          return;
        }
        apply(state);
        pause = state.loading ? PAUSE_WHILE_LOADING : PAUSE;
      }
    } catch {
      pause = 500; // the server is being started again
    }
    isAsking = false;
    timer = setTimeout(ask, pause);
  }

  function apply(state) {
    if (styles !== null && state.styles !== styles) exchange(state.styles);
    styles = state.styles;
    show(state.error);
  }

  function exchange(number) {
    for (const old of document.querySelectorAll('link[rel~="stylesheet"][href]')) {
      const url = new URL(old.href);
      if (url.origin !== location.origin) continue;
      url.pathname = url.pathname.replace(/\.[0-9a-f]{12}(\.[^./]*)?$/, "$1"); // the fingerprint is that of the old content
      url.searchParams.set("webdemo-live", number);
      const fresh = old.cloneNode();
      fresh.href = url.href;
      fresh.addEventListener("load", () => old.remove(), { once: true });
      fresh.addEventListener("error", () => fresh.remove(), { once: true });
      old.after(fresh);
    }
  }

  function show(error) {
    const text = error ? [error.problem, error.remedy, "", error.traceback].join("\n").trim() : "";
    if (!text || (overlay && overlay.text !== text)) {
      overlay?.host.remove();
      overlay = null;
    }
    if (!text || overlay) return;
    // Styles by script are allowed by every content security policy; markup is never made from text.
    const host = document.createElement("div");
    const root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`
      section { position: fixed; inset: auto 0 0 0; z-index: 2147483647; max-height: 60vh; overflow: auto; box-sizing: border-box;
        padding: 16px 20px; background: #2a1414; color: #ffe9e6; border-top: 5px solid #ff6b5e;
        font: 14px/1.5 ui-monospace, Menlo, Consolas, monospace; }
      h2 { margin: 0 64px 8px 0; font: 600 16px/1.4 system-ui, sans-serif; overflow-wrap: anywhere; }
      p { margin: 0 0 8px; font: 14px/1.4 system-ui, sans-serif; }
      pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
      button { position: absolute; top: 14px; right: 18px; font: inherit; color: inherit; background: none;
        border: 1px solid currentColor; border-radius: 6px; padding: 2px 10px; cursor: pointer; }`);
    root.adoptedStyleSheets = [sheet];
    const section = document.createElement("section");
    section.setAttribute("role", "alert");
    section.append(
      element("h2", error.problem),
      element("p", `${error.remedy} This goes away when the new code is loaded.`),
      element("pre", error.traceback || ""),
    );
    const hide = element("button", "Hide");
    hide.type = "button";
    hide.addEventListener("click", () => host.remove());
    section.append(hide);
    root.append(section);
    document.documentElement.append(host);
    overlay = { host, text };
  }

  function element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  document.addEventListener("visibilitychange", ask);
  addEventListener("pageshow", ask);
  ask();
})();
