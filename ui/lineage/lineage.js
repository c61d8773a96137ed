// The lineage as SVG. Where everything goes was decided in Python (ui/lineage/__init__.py): this widens the picture to its
// window, draws it, and sends back what was clicked. Texts from the data reach the page through textContent only.

const SVG = "http://www.w3.org/2000/svg";
const ROLES = {
  centre: "what this is about",
  before: "made it possible",
  after: "came of it",
  end: "one of the two",
  way: "on the way",
  beside: "opened beside",
};
const REASONS = 7; // in the card; more would hide the picture
const living = new WeakMap(); // parentElement -> Picture

function element(tag, className, parent, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  parent?.append(made);
  return made;
}

function shape(tag, className, parent, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  if (className) made.setAttribute("class", className);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent?.append(made);
  return made;
}

// The same marks as on the timeline: round, square, diamond, triangle.
function mark(track, x, y, parent) {
  const points = {
    hardware: `${x},${y - 5.5} ${x + 5.5},${y} ${x},${y + 5.5} ${x - 5.5},${y}`,
    data: `${x},${y - 5} ${x + 5},${y + 4} ${x - 5},${y + 4}`,
  }[track];
  const className = `mark ${track}`;
  if (points) shape("polygon", className, parent, { points });
  else if (track === "software") shape("rect", className, parent, { x: x - 4, y: y - 4, width: 8, height: 8 });
  else shape("circle", className, parent, { cx: x, cy: y, r: 4.5 });
}

// What came of it is a pill, everything else has corners: the roles differ without colour, too.
const rounding = (role, high) => (role === "after" ? high / 2 : 3);

class Picture {
  constructor(parent) {
    this.root = element("div", "lineage", parent);
    this.legend = element("div", "legend", this.root);
    this.frame = element("div", "", this.root);
    this.frame.style.position = "relative";
    this.scroller = element("div", "scroller", this.frame);
    this.svg = shape("svg", "", this.scroller, { role: "application" });
    this.svg.setAttribute(
      "aria-label",
      "Lineage by date. Left and right arrows go through the milestones in time, up and down to those above and below; " +
        "Enter selects one, plus opens what it is linked to or closes it again.",
    );
    this.names = element("div", "", this.frame);
    this.card = element("div", "card", this.frame);
    this.card.hidden = true;
    this.card.setAttribute("aria-hidden", "true"); // the live text says the same
    this.live = element("div", "unseen", this.root);
    this.live.setAttribute("aria-live", "polite");
    this.listen();
  }

  // ---- Data -------------------------------------------------------------------------------------------------------

  update({ data, setTriggerValue }) {
    this.send = setTriggerValue;
    const { selected, ...drawn } = data;
    const signature = JSON.stringify(drawn);
    const moved = data.centre !== this.data?.centre;
    this.data = data;
    if (signature !== this.signature) {
      this.signature = signature;
      this.current = data.nodes.some((node) => node.id === this.current) && !moved ? this.current : data.centre;
      this.draw();
      if (moved) this.reveal(this.byId.get(data.centre));
    }
    for (const node of this.byId.values()) {
      node.g.classList.toggle("selected", node.id === selected);
      node.g.setAttribute("aria-current", String(node.id === selected));
    }
  }

  // ---- Drawing ----------------------------------------------------------------------------------------------------

  draw() {
    const { data, svg } = this;
    const focused = this.root.getRootNode().activeElement?.closest?.(".node")?.dataset.id;
    this.byId = new Map(data.nodes.map((node) => [node.id, { ...node, links: [] }]));
    this.stretch();
    this.hide();
    svg.replaceChildren();
    svg.setAttribute("width", this.width);
    svg.setAttribute("height", data.height);
    this.drawAxis();
    this.links = data.links.map((link) => ({ ...link, later: this.byId.get(link.later), earlier: this.byId.get(link.earlier) }));
    const lines = shape("g", "", svg);
    for (const link of this.links) this.drawLink(link, lines);
    for (const node of this.byId.values()) this.drawNode(node);
    this.drawLegend();
    if (focused) this.byId.get(focused)?.g.focus({ preventScroll: true });
  }

  // A window wider than the picture spreads it in time; boxes keep their size, so those apart stay apart.
  stretch() {
    const { left, width } = this.data;
    this.room = this.scroller.clientWidth;
    let factor = Infinity;
    for (const { x, width: wide } of this.byId.values()) if (x > left) factor = Math.min(factor, (this.room - left - wide - 8) / (x - left));
    factor = Number.isFinite(factor) ? Math.max(1, factor) : 1;
    this.at = (x) => left + (x - left) * factor;
    this.width = Math.max(this.room, width);
    for (const node of this.byId.values()) {
      node.left = this.at(node.x);
      node.opened = this.data.opened.includes(node.id);
      node.right = node.left + node.width - (node.hidden || node.opened ? 0 : this.data.badge);
    }
  }

  drawAxis() {
    const { data, svg } = this;
    this.names.replaceChildren();
    data.lanes.forEach((lane, i) => {
      if (i % 2 === 0) shape("rect", "band", svg, { x: 0, y: lane.top, width: this.width, height: lane.height });
      element("div", `lane ${lane.track}`, this.names, lane.track).style.top = `${lane.top + 3}px`;
    });
    for (const [year, x] of data.ticks) {
      const tick = shape("g", "tick", svg);
      const at = this.at(x);
      shape("line", "", tick, { x1: at, x2: at, y1: 20, y2: data.height });
      shape("text", "", tick, { x: at, y: 15 }).textContent = year;
    }
  }

  drawLink(link, parent) {
    const { earlier, later } = link;
    link.g = shape("g", `link ${link.type}${link.heavy ? " heavy" : ""}`, parent);
    const twins = earlier.links.filter((other) => other.later === later).length;
    const d = this.curve(earlier, later, 4 * twins);
    shape("path", "", link.g, { d });
    const [x, y] = [later.left, later.y + 4 * twins];
    shape("polygon", "head", link.g, { points: `${x},${y} ${x - 8},${y - 4} ${x - 8},${y + 4}` });
    shape("path", "grab", link.g, { d });
    link.g.addEventListener("pointerenter", () => this.light([earlier, later], [link]));
    link.g.addEventListener("pointerleave", () => this.hide());
    earlier.links.push(link);
    later.links.push(link);
  }

  // From the end of the earlier box to the beginning of the later; where that would run backwards, from its edge.
  curve(earlier, later, aside) {
    const [end, y] = [later.left - 7, later.y + aside];
    const gap = end - earlier.right;
    if (gap > 16 || Math.abs(earlier.y - later.y) < 2) {
      const reach = Math.max(Math.min(gap / 2, 10), Math.min(gap * 0.45, 140));
      return `M${earlier.right},${earlier.y + aside} C${earlier.right + reach},${earlier.y + aside} ${end - reach},${y} ${end},${y}`;
    }
    const x = Math.min(Math.max(end - 22, earlier.left + 10), earlier.right - 6);
    const from = earlier.y + Math.sign(y - earlier.y) * (this.data.box / 2);
    return `M${x},${from} C${x},${from + (y - from) * 0.65} ${end - 26},${y} ${end},${y}`;
  }

  drawNode(node) {
    const high = this.data.box;
    const [x, top, wide] = [node.left, node.y - high / 2, node.right - node.left];
    const rx = rounding(node.role, high);
    const g = (node.g = shape("g", `node ${node.role}`, this.svg, { role: "button", tabindex: node.id === this.current ? 0 : -1 }));
    g.dataset.id = node.id;
    g.setAttribute("aria-label", this.spoken(node));
    shape("rect", "ring", g, { x: x - 4, y: top - 4, width: wide + 8, height: high + 8, rx: rx + 3 });
    shape("rect", "box", g, { x, y: top, width: wide, height: high, rx });
    mark(node.track, x + 10.5, node.y, g);
    const text = shape("text", "", g, { x: x + 20, y: node.y });
    text.textContent = node.label;
    const room = node.width - this.data.badge - 24;
    if (text.getComputedTextLength() > room) {
      text.setAttribute("textLength", room);
      text.setAttribute("lengthAdjust", "spacingAndGlyphs");
    }
    if (node.hidden || node.opened) this.drawBadge(node, g);
  }

  drawBadge(node, parent) {
    const [x, y] = [node.right - 12, node.y];
    const badge = shape("g", "badge", parent);
    shape("title", "", badge).textContent = node.opened ? "Close" : `Open ${node.hidden} more`;
    shape("circle", "", badge, { cx: x, cy: y, r: 8 });
    shape("path", "", badge, { d: `M${x - 4},${y} h8${node.opened ? "" : ` M${x},${y - 4} v8`}` });
  }

  spoken(node) {
    const more = node.opened ? "; opened, press plus to close" : node.hidden ? `; press plus to open ${node.hidden} more` : "";
    return `${node.short}, ${node.when}, ${node.track}; ${ROLES[node.role]}${more}`;
  }

  drawLegend() {
    this.legend.replaceChildren();
    const entry = (text) => {
      const span = element("span", "", this.legend);
      const sample = shape("svg", "", span, { width: 26, height: 14 });
      span.append(text);
      return sample;
    };
    const roles = new Set(this.data.nodes.map((node) => node.role));
    for (const [role, text] of Object.entries(ROLES)) {
      if (!roles.has(role)) continue;
      const g = shape("g", `node ${role}`, entry(text));
      shape("rect", "box", g, { x: 2, y: 1.5, width: 22, height: 11, rx: rounding(role, 11) });
    }
    const types = new Set(this.data.links.map((link) => link.type));
    for (const [type, verb] of Object.entries(this.data.verbs)) {
      if (types.has(type)) shape("path", "", shape("g", `link ${type}`, entry(verb)), { d: "M0,7 h26" });
    }
  }

  // ---- Reasons ----------------------------------------------------------------------------------------------------

  // These stay bright, all else fades; the card says why they are linked.
  light(nodes, links, aloud = false) {
    this.unlight();
    this.svg.classList.add("lit");
    for (const link of links) for (const one of [link, link.later, link.earlier]) one.g.classList.add("on");
    for (const node of nodes) node.g.classList.add("on");
    const lines = links.map((link) => this.reason(link));
    if (lines.length > REASONS) lines.splice(REASONS, Infinity, `and ${lines.length - REASONS} more`);
    this.showCard(nodes, lines);
    if (aloud) this.live.textContent = lines.join(". ");
  }

  reason({ later, earlier, type, how }) {
    return `${later.short} ${this.data.verbs[type] ?? type} ${earlier.short}${how ? `: ${how}` : ""}`;
  }

  unlight() {
    this.svg.classList.remove("lit");
    for (const one of this.svg.querySelectorAll(".on")) one.classList.remove("on");
  }

  hide() {
    this.unlight();
    this.card.hidden = true;
  }

  showCard(nodes, lines) {
    const { card, scroller } = this;
    card.replaceChildren();
    const [node] = nodes;
    if (nodes.length === 1) {
      element("p", "when", card, `${node.when} · ${node.track} · ${ROLES[node.role]}`);
      element("p", "title", card, node.title);
    }
    for (const line of lines) element("p", "reason", card, line);
    card.hidden = false;
    const below = Math.max(...nodes.map((one) => one.y)) + 20;
    const most = this.frame.clientWidth - card.offsetWidth - 8;
    card.style.left = `${Math.max(8, Math.min(most, node.left - scroller.scrollLeft))}px`;
    card.style.top = `${below}px`;
  }

  // ---- Pointer and keyboard -----------------------------------------------------------------------------------------

  listen() {
    const { svg } = this;
    const nodeOf = (event) => this.byId?.get(event.target.closest?.(".node")?.dataset.id);
    svg.addEventListener("pointerover", (event) => {
      const node = nodeOf(event);
      if (node) this.light([node], node.links);
    });
    svg.addEventListener("pointerout", (event) => nodeOf(event) && event.pointerType === "mouse" && this.hide());
    svg.addEventListener("click", (event) => {
      const node = nodeOf(event);
      if (!node) return this.hide();
      this.point(node);
      this.act(node, event.shiftKey || Boolean(event.target.closest(".badge")));
    });
    svg.addEventListener("keydown", (event) => this.pressed(event, nodeOf(event)));
    svg.addEventListener("focusin", (event) => {
      const node = nodeOf(event);
      if (node && node.g.matches(":focus-visible")) this.light([node], node.links, true);
    });
    svg.addEventListener("focusout", () => this.hide());
    this.scroller.addEventListener("scroll", () => (this.card.hidden = true), { passive: true });
    this.sizes = new ResizeObserver(() => this.data && this.scroller.clientWidth !== this.room && this.draw());
    this.sizes.observe(this.scroller);
  }

  act(node, open) {
    if (!open) this.send("selected", node.id);
    else if (node.hidden || node.opened) this.send("opened", node.id);
  }

  pressed(event, node) {
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    const byDate = [...this.byId.values()];
    const at = byDate.indexOf(node);
    const act = {
      Enter: () => this.act(node, event.shiftKey),
      " ": () => this.act(node, event.shiftKey),
      "+": () => this.act(node, true),
      "-": () => node.opened && this.act(node, true),
      ArrowLeft: () => this.point(byDate[at - 1]),
      ArrowRight: () => this.point(byDate[at + 1]),
      ArrowUp: () => this.point(this.nearest(node, -1)),
      ArrowDown: () => this.point(this.nearest(node, 1)),
      Home: () => this.point(this.byId.get(this.data.centre)),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation(); // the app shell has shortcuts of its own
    act();
  }

  nearest(node, side) {
    let best;
    let least = Infinity;
    for (const other of this.byId.values()) {
      const away = Math.hypot(other.left - node.left, 3 * (other.y - node.y));
      if ((other.y - node.y) * side > 2 && away < least) [best, least] = [other, away];
    }
    return best;
  }

  // One stop for Tab; arrows move inside.
  point(node) {
    if (!node) return;
    this.byId.get(this.current)?.g.setAttribute("tabindex", -1);
    node.g.setAttribute("tabindex", 0);
    this.current = node.id;
    this.reveal(node);
    node.g.focus({ preventScroll: true });
    node.g.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // Scrolls sideways only when it isn't in sight.
  reveal(node) {
    const { scroller } = this;
    const inSight = node.left >= scroller.scrollLeft && node.right <= scroller.scrollLeft + scroller.clientWidth;
    if (!inSight) scroller.scrollLeft = (node.left + node.right - scroller.clientWidth) / 2;
  }

  destroy() {
    this.sizes.disconnect();
    this.root.remove();
  }
}

// ---- Component -----------------------------------------------------------------------------------------------------

export default function (component) {
  const { parentElement } = component;
  let picture = living.get(parentElement);
  if (!picture) living.set(parentElement, (picture = new Picture(parentElement)));
  picture.update(component);
  return () => {
    living.delete(parentElement);
    picture.destroy();
  };
}
