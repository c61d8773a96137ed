// Draws the milestones: boxes with the symbol of the track, the name and a button.

import { addShape } from "../components/dom.js";
import { symbolPath } from "../components/tracks.js";
import { LOSSES, ROLES, cornerRadius } from "./roles.js";

const SYMBOL_RADIUS = 4.5;

// `data` has the height of a box and the width of the button that opens more.
export function drawBox(node, parent, data, isTabStop) {
  const height = data.box;
  const [x, y, width] = [node.left, node.y - height / 2, node.right - node.left];
  const rx = cornerRadius(node.role, height);
  const g = addShape(parent, "g", {
    class: `node ${node.role} ${node.loss}`,
    role: "button",
    tabindex: isTabStop ? 0 : -1,
    "data-id": node.id,
    "aria-label": describe(node),
  });
  const ring = { x: x - 4, y: y - 4, width: width + 8, height: height + 8, rx: rx + 3 };
  addShape(g, "rect", { class: "ring", ...ring });
  addShape(g, "rect", { class: "box", x, y, width, height, rx });
  const symbol = symbolPath(node.track, x + 10.5, node.y, SYMBOL_RADIUS);
  addShape(g, "path", { class: `mark ${node.track}`, d: symbol });
  drawName(node, g, node.width - data.badge - 24);
  if (node.hidden || node.isOpened) drawBadge(node, g);
  return g;
}

// Python estimates how wide a name is; one that is wider is squeezed.
function drawName({ left, y, label }, parent, width) {
  const text = addShape(parent, "text", { x: left + 20, y }, label);
  if (text.getComputedTextLength() <= width) return;
  text.setAttribute("textLength", width);
  text.setAttribute("lengthAdjust", "spacingAndGlyphs");
}

function drawBadge({ right, y, hidden, isOpened }, parent) {
  const x = right - 12;
  const badge = addShape(parent, "g", { class: "badge" });
  addShape(badge, "title", {}, isOpened ? "Close" : `Open ${hidden} more`);
  addShape(badge, "circle", { cx: x, cy: y, r: 8 });
  const minus = `M${x - 4},${y} h8`;
  addShape(badge, "path", { d: isOpened ? minus : `${minus} M${x},${y - 4} v8` });
}

function describe({ short, when, track, role, loss, hidden, isOpened }) {
  const lost = loss ? `, ${LOSSES[loss]}` : "";
  const text = `${short}, ${when}, ${track}; ${ROLES[role]}${lost}`;
  if (isOpened) return `${text}; opened, press plus to close`;
  return hidden ? `${text}; press plus to open ${hidden} more` : text;
}
