// The legend: the roles and the types of links that are in the picture.

import { addElement, addShape } from "../components/dom.js";
import { ROLES, cornerRadius } from "./roles.js";

export function drawLegend(parent, { nodes, links, verbs }) {
  parent.replaceChildren();
  const roles = new Set(nodes.map((node) => node.role));
  for (const [role, text] of Object.entries(ROLES)) {
    if (!roles.has(role)) continue;
    const g = addShape(addEntry(parent, text), "g", { class: `node ${role}` });
    const rx = cornerRadius(role, 11);
    addShape(g, "rect", { class: "box", x: 2, y: 1.5, width: 22, height: 11, rx });
  }
  const types = new Set(links.map((link) => link.type));
  for (const [type, verb] of Object.entries(verbs)) {
    if (!types.has(type)) continue;
    const g = addShape(addEntry(parent, verb), "g", { class: `link ${type}` });
    addShape(g, "path", { d: "M0,7 h26" });
  }
}

// Returns the picture in front of the text.
function addEntry(parent, text) {
  const entry = addElement(parent, "span");
  const sample = addShape(entry, "svg", { width: 26, height: 14 });
  entry.append(text);
  return sample;
}
