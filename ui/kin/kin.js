// A milestone between what it stands on and what came of it. Texts reach the page through textContent only.

const SVG = "http://www.w3.org/2000/svg";
const ROW = 24; // pixels from one name to the next
const WIDTH = 430;
const LEFT = { mark: 136, name: 126, edge: 164, anchor: "end" };
const RIGHT = { mark: 294, name: 304, edge: 266, anchor: "start" };
const LETTERS = 17; // of a name; the whole of it is in the tip
const MARKS = {
  theory: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
  software: "M-4-4h8v8h-8z",
  hardware: "M0-5.2 5.2 0 0 5.2-5.2 0z",
  data: "M0-5 5 4H-5z",
};

function drawn(tag, parent, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

function cropped(name) {
  return name.length <= LETTERS ? name : `${name.slice(0, LETTERS - 1).trimEnd()}…`;
}

function side(svg, milestones, more, place, middle, choose) {
  const count = milestones.length + (more ? 1 : 0);
  const y = (i) => middle + ROW * (i - (count - 1) / 2);
  milestones.forEach((one, i) => {
    const bend = (place.mark + place.edge) / 2;
    const from = place.mark + (place.edge - place.mark) * 0.3;
    drawn("path", svg, { class: "link", d: `M${from} ${y(i)}C${bend} ${y(i)} ${bend} ${middle} ${place.edge} ${middle}` });
    const link = drawn("g", svg, { class: `name ${one.track}`, tabindex: 0, role: "link", "aria-label": one.title });
    drawn("title", link, {}, one.title);
    drawn("path", link, { class: "mark", d: MARKS[one.track] ?? MARKS.theory, transform: `translate(${place.mark} ${y(i)})` });
    drawn("text", link, { x: place.name, y: y(i) + 4, "text-anchor": place.anchor }, cropped(one.short));
    link.onclick = () => choose(one.id);
    link.onkeydown = (event) => event.key === "Enter" && choose(one.id);
  });
  if (more) drawn("text", svg, { x: place.name, y: y(count - 1) + 4, "text-anchor": place.anchor, class: "more" }, `and ${more} more`);
}

export default function ({ parentElement, data, setTriggerValue }) {
  const rows = Math.max(2, ...["before", "after"].map((name) => data[name].length + (data.more[name] ? 1 : 0)));
  const height = ROW * rows + 12;
  const middle = height / 2;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", data.said);
  const choose = (id) => setTriggerValue("clicked", id);
  side(svg, data.before, data.more.before, LEFT, middle, choose);
  side(svg, data.after, data.more.after, RIGHT, middle, choose);
  drawn("rect", svg, { x: LEFT.edge, y: middle - 14, width: RIGHT.edge - LEFT.edge, height: 28, rx: 4 });
  drawn("text", svg, { class: "centre", x: WIDTH / 2, y: middle + 4 }, cropped(data.name));
  parentElement.querySelector("svg")?.remove();
  parentElement.append(svg);
  return () => svg.remove();
}
