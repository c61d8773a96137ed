// The first page: the timeline, and a search that shows what it has found there and beside it.

"use strict";

const LISTED = 8; // results beside the timeline
const HEIGHT = 560; // of the timeline, in pixels

addEventListener("DOMContentLoaded", () => {
  const { fields, rows, ...shared } = kbSite.timeline;
  const toItem = (row) => Object.fromEntries(fields.map((field, i) => [field, row[i]]));
  const rowOf = new Map(rows.map((row) => [row[0], row]));
  const search = new Search(rows.map(toItem));
  const form = document.querySelector("form.search");
  const input = form.elements.q;
  const list = document.getElementById("results");
  const draw = kbSite.mount(document.getElementById("timeline"), "timeline", (event, id) => {
    location.href = kbSite.milestonePage(id);
  });

  function show() {
    const text = input.value.trim();
    const items = text ? search.find(text) : [];
    const shown = items.length ? items.map((item) => rowOf.get(item.id)) : rows;
    const found = items.length
      ? [Math.min(...items.map((i) => i.start)), Math.max(...items.map((i) => i.end))]
      : null;
    list.hidden = !items.length;
    list.replaceChildren(...items.slice(0, LISTED).map(resultElement));
    document.getElementById("found").textContent = describe(text, items.length);
    draw({
      ...{ ...shared, fields, found },
      ...{ rows: shown, key: "timeline", height: HEIGHT, selected: null, links: [] },
    });
  }

  input.value = new URLSearchParams(location.search).get("q") ?? "";
  input.addEventListener("input", show);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    list.querySelector("a")?.focus();
  });
  show();
});

function describe(text, count) {
  if (!text) return "";
  if (!count) return "Nothing on the timeline matches. Use fewer words, or only their beginnings.";
  const noun = count === 1 ? "milestone" : "milestones";
  return `${count} ${noun}${count > LISTED ? `, the first ${LISTED} beside the timeline` : ""}`;
}

function resultElement(item) {
  const element = document.createElement("li");
  const link = document.createElement("a");
  link.href = kbSite.milestonePage(item.id);
  link.textContent = `${item.short}, ${item.date.slice(0, 4)}`;
  const idea = document.createElement("span");
  idea.className = "small";
  idea.textContent = item.idea;
  element.append(link, idea);
  return element;
}
