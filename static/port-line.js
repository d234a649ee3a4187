// The line of all ports: pan, zoom, and see what each port is. It replaces the page's static picture, and is a
// slider for the keyboard and for screen readers: its value is the port under the cursor. Positions are SVG attributes; colours and fonts come from the stylesheet.
const LAST = 65535;
const CLOSEST = 16; // ports across the whole line when zoomed in as far as possible
const HEIGHT = 208;
const TRACK = { top: 108, height: 30 };
const ROWS = [94, 74, 54, 34]; // baselines of the labels above the track, the nearest first
// Labelled even when the whole line is shown; the best known first.
const LANDMARKS = [80, 443, 25, 22, 5432, 8000, 27017, 3306, 8080, 6379];
const SVG = "http://www.w3.org/2000/svg";

const root = document.getElementById("port-line");
const still = matchMedia("(prefers-reduced-motion: reduce)");
const here = Number(root.dataset.here ?? -1);

function html(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function draw(tag, attributes, text = "") {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function gather(data) {
  const ports = new Map();
  const at = (port) => ports.get(port) ?? ports.set(port, { names: [], uses: [], holders: [] }).get(port);
  for (const [port, names] of Object.entries(data.names)) at(Number(port)).names = names;
  for (const use of data.uses) at(use.port).uses.push(use);
  for (const one of data.listening) at(one.port).holders.push(one);
  const known = [...ports.keys()].sort((one, other) => one - other);
  // Which label is drawn where there is no room for all: this page, a listener, a common use, any name.
  const rank = ({ names, uses, holders }, port) => {
    if (port === here) return 0;
    const landmark = LANDMARKS.indexOf(port);
    if (landmark >= 0) return 1 + landmark / 100;
    return holders.length ? 2 : uses.length ? 3 : names.length ? 4 : 5;
  };
  const byRank = known.toSorted((one, other) => rank(ports.get(one), one) - rank(ports.get(other), other));
  return { ...data, ports, known, byRank };
}

function build(data) {
  const { ports, known, byRank } = data;
  const svg = draw("svg", {
    class: "port-line",
    height: HEIGHT,
    role: "slider",
    tabindex: 0,
    "aria-label": "Port",
    "aria-valuemin": 0,
    "aria-valuemax": LAST,
    "aria-describedby": "port-line-help",
  });
  const detail = html("div", { class: "port-detail" });
  const tools = html("div", { class: "actions port-tools" });
  const shown = html("p", { class: "muted small port-window" });
  const help = html("p", { class: "muted small", id: "port-line-help" });
  help.append(
    "Drag to move, pinch to zoom, tap to choose. On the keyboard: ",
    ...["←", "→", "Page Up", "Page Down", "Home", "End", "+", "−", "0", "Enter"].flatMap((key) => [
      html("kbd", {}, key),
      " ",
    ]),
  );
  const legend = html("p", { class: "badges muted small" });
  for (const [kind, text] of [
    ["here", "this page"],
    ["listening", "a program listens"],
    ["named", "has a name"],
    ["ephemeral", "used for outgoing connections by this machine’s system"],
  ]) {
    if ((kind === "here" && here < 0) || (kind === "listening" && !data.listening.length)) continue;
    if (kind === "ephemeral" && !data.ephemeral) continue;
    const swatch = draw("svg", { class: "swatch", width: 14, height: 12, "aria-hidden": "true" });
    swatch.append(
      kind === "here" || kind === "listening"
        ? draw("circle", { class: kind, cx: 6, cy: 6, r: 5 })
        : draw("rect", { class: kind, y: 4, width: 12, height: 4 }),
    );
    legend.append(html("span", {}, swatch, ` ${text}`));
  }
  root.replaceChildren(shown, svg, legend, tools, detail, help);

  let width = 0;
  let first = 0; // the port at the left edge; with fractions while it moves
  let span = LAST + 1; // ports across the line
  let cursor = here >= 0 ? here : 80;
  let moving = 0; // the pending animation frame

  const x = (port) => ((port + 0.5 - first) / span) * width;
  const portAt = (position) => clamp(Math.floor(first + (position / width) * span), 0, LAST);

  function show(newFirst, newSpan) {
    span = clamp(newSpan, CLOSEST, LAST + 1);
    first = clamp(newFirst, 0, LAST + 1 - span);
    render();
  }

  function moveTo(newFirst, newSpan) {
    cancelAnimationFrame(moving);
    const target = clamp(newSpan, CLOSEST, LAST + 1);
    const goal = clamp(newFirst, 0, LAST + 1 - target);
    if (still.matches) return show(goal, target);
    const from = { first, span };
    const began = performance.now();
    const step = (now) => {
      const part = clamp((now - began) / 220, 0, 1);
      const eased = 1 - (1 - part) ** 3;
      // Zooming looks smooth in equal factors, panning in equal steps.
      const between = from.span * (target / from.span) ** eased;
      const travelled = target === from.span ? eased : (from.span - between) / (from.span - target);
      show(from.first + (goal - from.first) * travelled, between);
      if (part < 1) moving = requestAnimationFrame(step);
    };
    moving = requestAnimationFrame(step);
  }

  function zoom(factor, around = x(cursor)) {
    const share = clamp(around / width, 0, 1);
    const target = clamp(span * factor, CLOSEST, LAST + 1);
    moveTo(first + share * (span - target), target);
  }

  function select(port) {
    cursor = clamp(Math.round(port), 0, LAST);
    const margin = span / 12;
    if (cursor < first + margin || cursor > first + span - margin) moveTo(cursor - span / 2, span);
    else render();
    describePort();
  }

  function describe(port) {
    const facts = ports.get(port);
    const range = data.ranges.find((one) => one.first <= port && port <= one.last);
    const name = facts?.uses[0]?.name ?? facts?.names[0];
    return { facts, range, name };
  }

  function describePort() {
    const { facts, range, name } = describe(cursor);
    const holders = facts?.holders ?? [];
    svg.setAttribute("aria-valuenow", cursor);
    svg.setAttribute(
      "aria-valuetext",
      [cursor, name ?? "no name", `${range.name} port`, ...holders.map((one) => `${one.holder} listens`)].join(", "),
    );
    const lines = [
      ...(facts?.uses ?? []).map((use) => use.meaning),
      ...(facts?.names.length ? [`IANA: ${facts.names.join(", ")}`] : []),
      ...holders.map((one) => `${one.place}: ${one.holder}`),
    ];
    detail.replaceChildren(
      html("p", { class: "port-number fact" }, String(cursor)),
      html(
        "div",
        {},
        html(
          "p",
          { class: "badges" },
          html("span", { class: "badge" }, `${range.name} port`),
          ...(name ? [html("span", { class: "badge accent" }, name)] : []),
          ...(holders.length ? [html("span", { class: "badge ok" }, "listens now")] : []),
        ),
        ...(lines.length ? lines : ["No name is known."]).map((line) => html("p", {}, line)),
        html("p", {}, html("a", { href: `${root.dataset.source}/${cursor}` }, `All about port ${cursor}`)),
      ),
    );
  }

  function renderLabels(parts) {
    const taken = ROWS.map(() => []);
    const labels = []; // drawn above all leaders
    const letter = 7.9; // the width of a letter of the label's font in px, at most
    for (const port of byRank) {
      const facts = ports.get(port);
      if (port < first || port >= first + span) continue;
      if (span > 6000 && !(port === here || facts.holders.length || LANDMARKS.includes(port))) continue;
      if (span > 700 && !(facts.uses.length || facts.holders.length)) continue;
      const name = facts.uses[0]?.name ?? facts.names[0];
      const text = port === here ? `${port} this page` : name ? `${port} ${name}` : String(port);
      const half = (text.length * letter) / 2;
      const middle = clamp(x(port), half, width - half);
      if (2 * half > width) continue;
      const row = taken.findIndex((spans) =>
        spans.every(([left, right]) => middle + half + 8 < left || middle - half - 8 > right),
      );
      if (row < 0) continue;
      taken[row].push([middle - half, middle + half]);
      const kind = port === here ? "here" : facts.holders.length ? "listening" : "";
      parts.push(draw("line", { class: "leader", x1: x(port), x2: x(port), y1: ROWS[row] + 4, y2: TRACK.top }));
      labels.push(draw("text", { class: `label ${kind}`, x: middle, y: ROWS[row], "text-anchor": "middle" }, text));
      if (labels.length > 60) break;
    }
    parts.push(...labels);
  }

  function render() {
    const parts = [];
    const bottom = TRACK.top + TRACK.height;
    for (const range of data.ranges) {
      const left = clamp(((range.first - first) / span) * width, 0, width);
      const right = clamp(((range.last + 1 - first) / span) * width, 0, width);
      if (right - left <= 0) continue;
      parts.push(
        draw("rect", { class: `range ${range.name}`, x: left, y: TRACK.top, width: right - left, height: TRACK.height }),
      );
      if (right - left > range.name.length * 9)
        parts.push(draw("text", { class: "range-name", x: (left + right) / 2, y: bottom + 44, "text-anchor": "middle" }, range.name));
    }
    if (data.ephemeral) {
      const left = clamp(((data.ephemeral[0] - first) / span) * width, 0, width);
      const right = clamp(((data.ephemeral[1] + 1 - first) / span) * width, 0, width);
      parts.push(draw("rect", { class: "ephemeral", x: left, y: bottom + 50, width: right - left, height: 4 }));
    }

    // All ports with a name, as one path: a hairline each, or a cell each when there is room.
    const cell = width / span;
    const marks = new Set();
    for (const port of known)
      if (port >= first - 1 && port <= first + span) marks.add(cell < 3 ? Math.round(x(port)) : x(port));
    const wide = Math.max(1, cell - 2);
    const path = [...marks].map((middle) => `M${(middle - wide / 2).toFixed(1)} ${TRACK.top + 6}h${wide.toFixed(1)}v${TRACK.height - 12}h-${wide.toFixed(1)}z`);
    parts.push(draw("path", { class: "named", d: path.join("") }));

    const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000];
    const step = steps.find((one) => one * cell >= 64) ?? 20000;
    for (let port = Math.ceil(first / step) * step; port < first + span && port <= LAST; port += step) {
      parts.push(draw("line", { class: "tick", x1: x(port), x2: x(port), y1: bottom, y2: bottom + 6 }));
      const anchor = x(port) < 24 ? "start" : x(port) > width - 24 ? "end" : "middle";
      parts.push(draw("text", { class: "tick-label", x: clamp(x(port), 0, width), y: bottom + 22, "text-anchor": anchor }, String(port)));
    }

    const isCursorShown = cursor >= first && cursor < first + span;
    if (isCursorShown)
      parts.push(draw("line", { class: "cursor", x1: x(cursor), x2: x(cursor), y1: TRACK.top, y2: bottom + 8 }));
    renderLabels(parts);
    // This page's last, so that it is on top.
    for (const port of known.toSorted((one, other) => (one === here) - (other === here))) {
      const listens = ports.get(port).holders.length > 0;
      if ((listens || port === here) && port >= first && port < first + span)
        parts.push(draw("circle", { class: port === here ? "here" : "listening", cx: x(port), cy: TRACK.top + TRACK.height / 2, r: port === here ? 7 : 5 }));
    }
    if (isCursorShown) parts.push(draw("path", { class: "cursor-head", d: `M${x(cursor) - 6} ${TRACK.top - 10}h12l-6 9z` }));
    svg.replaceChildren(...parts);
    const from = Math.round(first);
    const to = Math.min(LAST, Math.round(first + span) - 1);
    shown.textContent = `Shown: ${from}–${to}`;
  }

  const step = () => Math.max(1, Math.round(span / 200));
  const keys = {
    ArrowLeft: () => select(cursor - step()),
    ArrowDown: () => select(cursor - step()),
    ArrowRight: () => select(cursor + step()),
    ArrowUp: () => select(cursor + step()),
    PageDown: () => select(cursor - span / 3),
    PageUp: () => select(cursor + span / 3),
    Home: () => select(0),
    End: () => select(LAST),
    "+": () => zoom(1 / 2),
    "=": () => zoom(1 / 2),
    "-": () => zoom(2),
    "−": () => zoom(2),
    0: () => moveTo(0, LAST + 1),
    Enter: () => location.assign(`${root.dataset.source}/${cursor}`),
  };
  svg.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  // One pointer drags, two pinch; one that hardly moved selects a port.
  const pointers = new Map();
  let pressed = null;
  const place = (event) => event.clientX - svg.getBoundingClientRect().left;
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    cancelAnimationFrame(moving);
    svg.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    pressed = pointers.size === 1 ? place(event) : null;
  });
  svg.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const before = [...pointers.values()];
    pointers.set(event.pointerId, place(event));
    const after = [...pointers.values()];
    if (after.length === 1) {
      if (pressed !== null && Math.abs(after[0] - pressed) < 5) return;
      pressed = null;
      show(first - ((after[0] - before[0]) / width) * span, span);
    } else {
      const [was, is] = [before, after].map(([one, other]) => ({
        apart: Math.max(20, Math.abs(one - other)),
        middle: (one + other) / 2,
      }));
      const held = first + (was.middle / width) * span;
      const target = clamp((span * was.apart) / is.apart, CLOSEST, LAST + 1);
      show(held - (is.middle / width) * target, target);
    }
  });
  svg.addEventListener("pointerup", (event) => {
    if (pressed !== null && pointers.size === 1) {
      // A finger is imprecise: prefer a port that has a listener or a name.
      const port = portAt(pressed);
      const reach = Math.ceil((span / width) * 8);
      select(byRank.find((one) => Math.abs(one - port) <= reach && span > 100) ?? port);
    }
    pointers.delete(event.pointerId);
    pressed = null;
  });
  svg.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  svg.addEventListener("dblclick", (event) => zoom(1 / 6, place(event)));
  svg.addEventListener(
    "wheel",
    (event) => {
      // A pinch on a touchpad is reported as a wheel with Ctrl. A plain wheel scrolls the page.
      if (event.ctrlKey) {
        event.preventDefault();
        const target = clamp(span * Math.exp(event.deltaY * 0.01), CLOSEST, LAST + 1);
        show(first + (place(event) / width) * (span - target), target);
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        show(first + (event.deltaX / width) * span, span);
      }
    },
    { passive: false },
  );

  for (const [label, title, act] of [
    ["←", "Move left", () => moveTo(first - span / 2, span)],
    ["→", "Move right", () => moveTo(first + span / 2, span)],
    ["−", "Zoom out", () => zoom(3)],
    ["+", "Zoom in", () => zoom(1 / 3)],
    ["All", "All ports", () => moveTo(0, LAST + 1)],
    ...data.ranges.map((range) => [
      range.name,
      `Ports ${range.first} to ${range.last}`,
      () => moveTo(range.first, range.last - range.first + 1),
    ]),
  ]) {
    const button = html("button", { type: "button", class: "quiet", title, ...(label.length === 1 && { "aria-label": title }) }, label);
    button.addEventListener("click", act);
    tools.append(button);
  }

  if (root.dataset.first !== undefined) {
    const [from, to] = [Number(root.dataset.first), Number(root.dataset.last)];
    cursor = from;
    span = clamp((to - from + 1) * 1.5, 40, LAST + 1);
    first = clamp((from + to) / 2 - span / 2, 0, LAST + 1 - span);
  }
  describePort();
  new ResizeObserver(([entry]) => {
    width = entry.contentRect.width;
    render();
  }).observe(svg);
}

const answer = await fetch(root.dataset.source, { headers: { Accept: "application/json" } });
if (answer.ok) build(gather(await answer.json()));
