// Adds elements to the page. A text goes through textContent, so markup in it stays text.

const SVG = "http://www.w3.org/2000/svg";

export function addElement(parent, tag, className = "", text = "") {
  const added = document.createElement(tag);
  if (className) added.className = className;
  if (text) added.textContent = text;
  parent.append(added);
  return added;
}

export function addShape(parent, tag, attributes = {}, text = "") {
  const added = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) added.setAttribute(name, value);
  if (text) added.textContent = text;
  parent.append(added);
  return added;
}

// A region whose text screen readers say aloud whenever it changes.
export function addLiveRegion(parent) {
  const region = addElement(parent, "div", "visually-hidden");
  region.setAttribute("aria-live", "polite");
  return region;
}
