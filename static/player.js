// Plays the path of a request stop by stop: forward to the app, and back with the response. The stops and what
// happens at them are on the page already; this adds buttons, and marks where the request or the response is.
const PAUSE_MS = 1500;

for (const path of document.querySelectorAll("[data-player]")) {
  const stops = [...path.querySelectorAll(".stop")];
  const last = 2 * stops.length - 1;
  const controls = document.createElement("p");
  controls.className = "actions player";
  const told = document.createElement("span");
  told.setAttribute("aria-live", "polite");
  let at = -1; // before the first stop; up to stops.length - 1 it is the request, then the response
  let timer = 0;

  const button = (text, title, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "quiet";
    made.textContent = text;
    made.title = title;
    made.addEventListener("click", act);
    controls.append(made);
    return made;
  };

  function show(next) {
    at = Math.min(Math.max(next, 0), last);
    const isBack = at >= stops.length;
    const here = isBack ? last - at : at;
    path.dataset.direction = isBack ? "back" : "forward";
    stops.forEach((stop, index) => {
      stop.classList.toggle("current", index === here);
      stop.classList.toggle("reached", isBack || index <= here);
    });
    told.textContent = `${isBack ? "Response" : "Request"}, ${at + 1} of ${last + 1}: ${stops[here].querySelector(".stop-label").textContent}`;
    back.disabled = at === 0;
    forward.disabled = at === last;
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }

  const step = (by) => () => {
    stop();
    show(at + by);
  };
  const back = button("←", "Step back", step(-1));
  const play = button("Play", "Play forward to the app, and back", () => {
    if (timer) return stop();
    show(at === last ? 0 : at + 1);
    play.textContent = "Pause";
    timer = setInterval(() => (at === last ? stop() : show(at + 1)), PAUSE_MS);
  });
  const forward = button("→", "Step forward", step(1));
  back.setAttribute("aria-label", "Step back");
  forward.setAttribute("aria-label", "Step forward");
  controls.append(told);
  back.disabled = true;
  path.before(controls);
}
