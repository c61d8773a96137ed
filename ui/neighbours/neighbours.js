// A milestone in the middle, what it builds on at its left, what builds on it at its right.

import { addShape } from "../components/dom.js";
import { mount } from "../components/mount.js";
import { symbolPath } from "../components/tracks.js";

const ROW_HEIGHT = 24; // pixels from one name to the next
const WIDTH = 430;
const LEFT = { symbolX: 136, nameX: 126, edgeX: 164, anchor: "end" };
const RIGHT = { symbolX: 294, nameX: 304, edgeX: 266, anchor: "start" };
const SYMBOL_RADIUS = 4.3;
const MAX_CHARACTERS = 17; // of a name; the tooltip has the whole of it

function shorten(name) {
  if (name.length <= MAX_CHARACTERS) return name;
  return `${name.slice(0, MAX_CHARACTERS - 1).trimEnd()}…`;
}

class Neighbours {
  constructor(parent) {
    this.parent = parent;
  }

  update({ data, setTriggerValue }) {
    const rowsOf = (side) => data[side].length + (data.hidden[side] ? 1 : 0);
    const height = ROW_HEIGHT * Math.max(2, rowsOf("before"), rowsOf("after")) + 12;
    const y = height / 2;
    this.svg?.remove();
    this.svg = addShape(this.parent, "svg", {
      viewBox: `0 0 ${WIDTH} ${height}`,
      role: "group",
      "aria-label": data.description,
    });
    this.middle = y;
    this.open = (id) => setTriggerValue("clicked", id);
    this.drawSide(data.before, data.hidden.before, LEFT);
    this.drawSide(data.after, data.hidden.after, RIGHT);
    const width = RIGHT.edgeX - LEFT.edgeX;
    addShape(this.svg, "rect", { x: LEFT.edgeX, y: y - 14, width, height: 28, rx: 4 });
    addShape(this.svg, "text", { class: "centre", x: WIDTH / 2, y: y + 4 }, shorten(data.name));
  }

  drawSide(milestones, hiddenCount, side) {
    const rows = milestones.length + (hiddenCount ? 1 : 0);
    const rowY = (row) => this.middle + ROW_HEIGHT * (row - (rows - 1) / 2);
    milestones.forEach((milestone, row) => this.drawMilestone(milestone, rowY(row), side));
    if (!hiddenCount) return;
    const place = { x: side.nameX, y: rowY(rows - 1) + 4, "text-anchor": side.anchor };
    addShape(this.svg, "text", { ...place, class: "more" }, `and ${hiddenCount} more`);
  }

  drawMilestone({ id, short, title, track }, y, { symbolX, nameX, edgeX, anchor }) {
    const bend = (symbolX + edgeX) / 2;
    const start = symbolX + (edgeX - symbolX) * 0.3;
    const curve = `M${start} ${y}C${bend} ${y} ${bend} ${this.middle} ${edgeX} ${this.middle}`;
    addShape(this.svg, "path", { class: "link", d: curve });
    const link = addShape(this.svg, "g", {
      class: `name ${track}`,
      tabindex: 0,
      role: "link",
      "aria-label": title,
    });
    addShape(link, "title", {}, title);
    const symbol = symbolPath(track, symbolX, y, SYMBOL_RADIUS);
    addShape(link, "path", { class: "mark", d: symbol });
    addShape(link, "text", { x: nameX, y: y + 4, "text-anchor": anchor }, shorten(short));
    link.onclick = () => this.open(id);
    link.onkeydown = (event) => event.key === "Enter" && this.open(id);
  }

  destroy() {
    this.svg?.remove();
  }
}

export default mount(Neighbours);
