// The legend: the roles and the types of links that are in the picture.

import { addElement, addShape } from "../components/dom.js";
import { LOSSES, ROLES, cornerRadius } from "./roles.js";

export function drawLegend(parent, { nodes, links, verbs }) {
  parent.replaceChildren();
  drawKinds(parent, ROLES, new Set(nodes.map((node) => node.role)));
  const losses = nodes.map((node) => node.loss).filter((loss) => loss !== "out");
  drawKinds(parent, LOSSES, new Set(losses));
  const types = new Set(links.map((link) => link.type));
  for (const [type, verb] of Object.entries(verbs)) {
    if (!types.has(type)) continue;
    const g = addShape(addEntry(parent, verb), "g", { class: `link ${type}` });
    addShape(g, "path", { d: "M0,7 h26" });
  }
}

// An entry for each kind of box that is in the picture.
function drawKinds(parent, texts, present) {
  for (const [kind, text] of Object.entries(texts)) {
    if (!present.has(kind)) continue;
    const g = addShape(addEntry(parent, text), "g", { class: `node ${kind}` });
    const rx = cornerRadius(kind, 11);
    addShape(g, "rect", { class: "box", x: 2, y: 1.5, width: 22, height: 11, rx });
  }
}

// Returns the picture in front of the text.
function addEntry(parent, text) {
  const entry = addElement(parent, "span");
  const sample = addShape(entry, "svg", { width: 26, height: 14 });
  entry.append(text);
  return sample;
}
