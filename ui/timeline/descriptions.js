// What the timeline says in words: its toolbar, its cards, and the texts for screen readers.

import { formatDate, formatYear } from "./dates.js";

// The years in the window and how many milestones are in them. `margin` are the years around the
// first and the last milestone.
export function describeWindow({ scale, milestones }, margin, isNarrow, isBrief) {
  const { domain, targetYears } = scale; // the domain is the same in years and in positions
  const span = targetYears.to - targetYears.from;
  const first = Math.max(targetYears.from, Math.floor(domain.from + margin));
  const last = Math.min(targetYears.to, domain.to - margin);
  const precision = isBrief && span > 2 ? Infinity : span;
  const years = `${formatYear(first, precision)} to ${formatYear(last, precision)}`;
  if (isBrief) return years;
  const format = (count) => count.toLocaleString("en");
  const total = format(milestones.count);
  if (!scale.showsAll) {
    const inside = milestones.countBetween(targetYears.from, targetYears.to);
    return `${years} · ${format(inside)} of ${total}`;
  }
  const noun = milestones.count === 1 ? "milestone" : "milestones";
  const widths = isNarrow || !scale.knots.length ? "" : " · years with more are wider";
  return `${years} · ${total} ${noun}${widths}`;
}

// Entries are [class of the mark, text, colour].
export function legendEntries(arcs, theme, narrow) {
  const sources = arcs.filter((arc) => arc.isSource).length;
  const descendants = arcs.length - sources;
  const entries = [];
  if (sources) entries.push(["", `${narrow ? "from" : "built on"} ${sources}`, theme.ink]);
  if (descendants) {
    entries.push(["dashed", `${narrow ? "to" : "led to"} ${descendants}`, theme.descendants]);
  }
  if (entries.length || narrow) return entries;
  return [
    ["dot filled", "with code", ""],
    ["dot", "without", ""],
  ];
}

// The lines of a card. `arc` links the milestone to the selected one, if it is.
export function milestoneCard(item, arc, selectedName) {
  return [
    ["when", `${formatDate(item.date)} · ${item.track} · ${item.kind}`],
    ["title", item.title || item.short],
    ["idea", item.idea],
    ["how", arc && describeArc(arc, selectedName)],
    ["runs", item.runs ? "▶ With code that runs" : ""],
  ];
}

function describeArc({ type, isSource, reason }, selectedName) {
  const verb = String(type ?? "").replaceAll("_", " ");
  const link = isSource ? `${selectedName} ${verb} this` : `${verb} ${selectedName}`;
  return `${link}: ${reason}`;
}

export function eraCard({ start, end, title, story }) {
  return [
    ["when", end ? `${start} to ${end}` : `since ${start}`],
    ["title", title],
    ["idea", story],
  ];
}

export function spokenMilestone(item, arc) {
  const { short, date, track, kind, idea, runs } = item;
  return (
    `${short}, ${formatDate(date)}, ${track}, ${kind}. ${idea ?? ""} ` +
    `${arc?.reason ?? ""} ${runs ? "With code that runs." : ""} Press Enter to open.`
  );
}
