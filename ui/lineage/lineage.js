// The lineage as SVG. Python decides where everything goes (ui/lineage/placement.py). Here the
// picture is stretched to its window and drawn, and what was clicked is sent back.

import { Card } from "../components/card.js";
import { addElement, addLiveRegion, addShape } from "../components/dom.js";
import { handleKey } from "../components/keys.js";
import { mount } from "../components/mount.js";
import { drawBox } from "./boxes.js";
import { drawLegend } from "./legend.js";
import { drawLink } from "./links.js";
import { LOSSES, ROLES } from "./roles.js";

const MAX_REASONS = 7; // in the card; more would hide the picture
const LABEL =
  "Lineage by date. Left and right arrows go through the milestones in time, up and down to " +
  "those above and below; Enter selects one, plus opens what it is linked to or closes it again.";

class Lineage {
  constructor(parent) {
    this.root = addElement(parent, "div", "lineage");
    this.legend = addElement(this.root, "div", "legend");
    this.frame = addElement(this.root, "div", "frame");
    this.scroller = addElement(this.frame, "div", "scroller");
    this.svg = addShape(this.scroller, "svg", { role: "application", "aria-label": LABEL });
    this.laneNames = addElement(this.frame, "div");
    this.hint = addElement(this.root, "div", "hint", "Drag sideways to see the other years.");
    this.card = new Card(this.frame);
    this.live = addLiveRegion(this.root);
    this.nodes = new Map(); // id -> node: what Python sent, with its box and its links
    this._listen();
  }

  // ---- Data from Python ----

  update({ data, setTriggerValue }) {
    this.send = setTriggerValue;
    const { selected, ...drawn } = data;
    const signature = JSON.stringify(drawn);
    const isMoved = data.centre !== this.data?.centre;
    this.data = data;
    if (signature !== this.signature) {
      this.signature = signature;
      const isLeft = !data.nodes.some((node) => node.id === this.tabStop);
      if (isLeft || isMoved) this.tabStop = data.centre;
      this._draw();
      if (isMoved) this._scrollTo(this.nodes.get(data.centre));
    }
    for (const { id, box } of this.nodes.values()) {
      box.classList.toggle("selected", id === selected);
      box.setAttribute("aria-current", String(id === selected));
    }
  }

  // ---- Drawing ----

  _draw() {
    const { data, svg } = this;
    const focused = this.root.getRootNode().activeElement?.closest?.(".node")?.dataset.id;
    this.nodes = new Map(data.nodes.map((node) => [node.id, { ...node, links: [] }]));
    this._stretch();
    this._hideCard();
    svg.replaceChildren();
    svg.setAttribute("width", this.width);
    svg.setAttribute("height", data.height);
    this._drawLanes();
    this._drawYears();
    this._drawLinks();
    for (const node of this.nodes.values()) {
      node.box = drawBox(node, svg, data, node.id === this.tabStop);
    }
    drawLegend(this.legend, data);
    this._fadeEdges();
    this.nodes.get(focused)?.box.focus({ preventScroll: true });
  }

  // A window wider than the picture stretches it in time. Boxes keep their size, so those that are
  // apart stay apart.
  _stretch() {
    const { left, width, badge, opened } = this.data;
    this.windowWidth = this.scroller.clientWidth;
    const factors = [...this.nodes.values()]
      .filter((node) => node.x > left)
      .map((node) => (this.windowWidth - left - node.width - 8) / (node.x - left));
    const factor = factors.length ? Math.max(1, Math.min(...factors)) : 1;
    this.stretchX = (x) => left + (x - left) * factor;
    this.width = Math.max(this.windowWidth, width);
    this.hint.hidden = this.width <= this.windowWidth;
    for (const node of this.nodes.values()) {
      node.left = this.stretchX(node.x);
      node.isOpened = opened.includes(node.id);
      const hasBadge = node.hidden || node.isOpened;
      node.right = node.left + node.width - (hasBadge ? 0 : badge);
    }
  }

  // Every second lane is shaded. The names stay when the picture is scrolled.
  _drawLanes() {
    this.laneNames.replaceChildren();
    this.data.lanes.forEach(({ track, top, height }, i) => {
      const band = { class: "band", x: 0, y: top, width: this.width, height };
      if (i % 2 === 0) addShape(this.svg, "rect", band);
      const name = addElement(this.laneNames, "div", `lane ${track}`, track);
      name.style.top = `${top + 3}px`;
    });
  }

  _drawYears() {
    for (const [year, position] of this.data.ticks) {
      const tick = addShape(this.svg, "g", { class: "tick" });
      const x = this.stretchX(position);
      addShape(tick, "line", { x1: x, x2: x, y1: 20, y2: this.data.height });
      addShape(tick, "text", { x, y: 15 }, year);
    }
  }

  _drawLinks() {
    const group = addShape(this.svg, "g");
    for (const data of this.data.links) {
      const [later, earlier] = [this.nodes.get(data.later), this.nodes.get(data.earlier)];
      const link = { ...data, later, earlier };
      link.line = drawLink(link, group, this.data.box);
      link.line.addEventListener("pointerenter", () => this._highlight([earlier, later], [link]));
      link.line.addEventListener("pointerleave", () => this._hideCard());
      earlier.links.push(link);
      later.links.push(link);
    }
  }

  // ---- Highlight and card ----

  // These stay bright and all else fades; the card says why they are linked.
  _highlight(nodes, links, isSpoken = false) {
    this._endHighlight();
    this.svg.classList.add("has-highlight");
    const boxes = [...nodes, ...links.flatMap((link) => [link.later, link.earlier])];
    const shapes = [...boxes.map((node) => node.box), ...links.map((link) => link.line)];
    for (const shape of shapes) shape.classList.add("highlighted");
    const reasons = links.map((link) => this._describe(link));
    const surplus = reasons.length - MAX_REASONS;
    if (surplus > 0) reasons.splice(MAX_REASONS, surplus, `and ${surplus} more`);
    this._showCard(nodes, reasons);
    if (isSpoken) this.live.textContent = reasons.join(". ");
  }

  _highlightNode(node, isSpoken = false) {
    this._highlight([node], node.links, isSpoken);
  }

  _describe({ later, earlier, type, how }) {
    const verb = this.data.verbs[type] ?? type;
    return `${later.short} ${verb} ${earlier.short}${how ? `: ${how}` : ""}`;
  }

  _endHighlight() {
    this.svg.classList.remove("has-highlight");
    for (const shape of this.svg.querySelectorAll(".highlighted")) {
      shape.classList.remove("highlighted");
    }
  }

  _showCard(nodes, reasons) {
    const [node] = nodes;
    const about = [
      ["when", `${node.when} · ${node.track} · ${LOSSES[node.loss] ?? ROLES[node.role]}`],
      ["title", node.title],
    ];
    const lines = reasons.map((reason) => ["reason", reason]);
    this.card.fill(nodes.length === 1 ? [...about, ...lines] : lines);
    const below = Math.max(...nodes.map((one) => one.y)) + 20;
    this.card.moveTo(node.left - this.scroller.scrollLeft, below, this.frame.clientWidth);
  }

  _hideCard() {
    this._endHighlight();
    this.card.hide();
  }

  // ---- Pointer and keyboard ----

  _listen() {
    const { svg } = this;
    const listen = (type, handle) => {
      svg.addEventListener(type, (event) => {
        const id = event.target.closest?.(".node")?.dataset.id;
        handle(this.nodes.get(id), event);
      });
    };
    listen("pointerover", (node) => node && this._highlightNode(node));
    listen("pointerout", (node, { pointerType }) => {
      if (node && pointerType === "mouse") this._hideCard();
    });
    listen("click", (node, event) => this._click(node, event));
    listen("keydown", (node, event) => node && this._pressKey(node, event));
    listen("focusin", (node) => {
      if (node?.box.matches(":focus-visible")) this._highlightNode(node, true);
    });
    listen("focusout", () => this._hideCard());
    this.scroller.addEventListener("scroll", () => this._scrolled(), { passive: true });
    this.resizeObserver = new ResizeObserver(() => {
      if (this.data && this.scroller.clientWidth !== this.windowWidth) this._draw();
    });
    this.resizeObserver.observe(this.scroller);
  }

  _scrolled() {
    this.card.hide();
    this._fadeEdges();
  }

  _fadeEdges() {
    const { scrollLeft, clientWidth, scrollWidth } = this.scroller;
    this.frame.classList.toggle("more-left", scrollLeft > 1);
    this.frame.classList.toggle("more-right", scrollLeft + clientWidth < scrollWidth - 1);
  }

  _click(node, event) {
    if (!node) return this._hideCard();
    this._focus(node);
    const isOnBadge = Boolean(event.target.closest(".badge"));
    this._choose(node, event.shiftKey || isOnBadge);
  }

  // Selects the milestone, or opens and closes what it is linked to.
  _choose(node, isOpening) {
    if (!isOpening) this.send("selected", node.id);
    else if (node.hidden || node.isOpened) this.send("opened", node.id);
  }

  _pressKey(node, event) {
    const byDate = [...this.nodes.values()];
    const index = byDate.indexOf(node);
    handleKey(event, {
      Enter: () => this._choose(node, event.shiftKey),
      " ": () => this._choose(node, event.shiftKey),
      "+": () => this._choose(node, true),
      "-": () => node.isOpened && this._choose(node, true),
      ArrowLeft: () => this._focus(byDate[index - 1]),
      ArrowRight: () => this._focus(byDate[index + 1]),
      ArrowUp: () => this._focus(this._nearest(node, -1)),
      ArrowDown: () => this._focus(this._nearest(node, 1)),
      Home: () => this._focus(this.nodes.get(this.data.centre)),
    });
  }

  // The nearest milestone above (-1) or below (1); a pixel up or down counts as three sideways.
  _nearest(node, direction) {
    const distance = (other) => Math.hypot(other.left - node.left, 3 * (other.y - node.y));
    return [...this.nodes.values()]
      .filter((other) => (other.y - node.y) * direction > 2)
      .sort((a, b) => distance(a) - distance(b))[0];
  }

  // Tab reaches one milestone; the arrow keys move from it to the others.
  _focus(node) {
    if (!node) return;
    this.nodes.get(this.tabStop)?.box.setAttribute("tabindex", -1);
    node.box.setAttribute("tabindex", 0);
    this.tabStop = node.id;
    this._scrollTo(node);
    node.box.focus({ preventScroll: true });
    node.box.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // Scrolls sideways if the milestone isn't in the window.
  _scrollTo({ left, right }) {
    const { scroller } = this;
    const { scrollLeft, clientWidth } = scroller;
    if (left >= scrollLeft && right <= scrollLeft + clientWidth) return;
    scroller.scrollLeft = (left + right - clientWidth) / 2;
  }

  destroy() {
    this.resizeObserver.disconnect();
    this.root.remove();
  }
}

export default mount(Lineage);
