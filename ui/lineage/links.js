// Draws the links: curves from the earlier to the later milestone, with an arrow.

import { addShape } from "../components/dom.js";

const PARALLEL_DISTANCE = 4; // pixels between links of the same two milestones

// `link` has the boxes of its two ends; each box has the links that were drawn before.
export function drawLink(link, parent, boxHeight) {
  const { earlier, later, type, heavy, lost } = link;
  const parallel = earlier.links.filter((other) => other.later === later).length;
  const offset = PARALLEL_DISTANCE * parallel;
  const d = linkPath(earlier, later, offset, boxHeight);
  const g = addShape(parent, "g", {
    class: `link ${type}${heavy ? " heavy" : ""}${lost ? " lost" : ""}`,
  });
  addShape(g, "path", { d });
  const [x, y] = [later.left, later.y + offset];
  const points = `${x},${y} ${x - 8},${y - 4} ${x - 8},${y + 4}`;
  addShape(g, "polygon", { class: "head", points });
  addShape(g, "path", { class: "grab", d });
  return g;
}

// From the end of the earlier box to the start of the later one. Where that would run backwards,
// it begins at the top or the bottom of the earlier box.
function linkPath(earlier, later, offset, boxHeight) {
  const [end, y] = [later.left - 7, later.y + offset];
  const gap = end - earlier.right;
  if (gap > 16 || Math.abs(earlier.y - later.y) < 2) {
    const [start, startY] = [earlier.right, earlier.y + offset];
    const reach = Math.max(Math.min(gap / 2, 10), Math.min(gap * 0.45, 140));
    return `M${start},${startY} C${start + reach},${startY} ${end - reach},${y} ${end},${y}`;
  }
  const x = Math.min(Math.max(end - 22, earlier.left + 10), earlier.right - 6);
  const top = earlier.y + Math.sign(y - earlier.y) * (boxHeight / 2);
  return `M${x},${top} C${x},${top + (y - top) * 0.65} ${end - 26},${y} ${end},${y}`;
}
