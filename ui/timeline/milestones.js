// The milestones on the timeline, in the orders in which they are needed.

import { TRACKS } from "../components/tracks.js";

const BOLD_WEIGHT = 0.6;

export class Milestones {
  constructor(fields, rows) {
    const items = rows.map((row) => createItem(fields, row));
    this.byTime = items.toSorted((a, b) => a.time - b.time || (a.short < b.short ? -1 : 1));
    this.byTime.forEach((item, rank) => (item.rank = rank));
    this.byImportance = items.toSorted((a, b) => b.weight - a.weight || a.rank - b.rank);
    this.byLane = TRACKS.map((_, lane) => this.byTime.filter((item) => item.lane === lane));
    this.byId = new Map(items.map((item) => [item.id, item]));
  }

  // `position` gives the place of a year on the scale.
  place(position) {
    for (const item of this.byTime) item.position = position(item.time);
  }

  get count() {
    return this.byTime.length;
  }

  countBetween(from, to) {
    return this.byTime.filter((item) => item.time >= from && item.time <= to).length;
  }

  // The milestone at a rank, or the first or the last of all.
  atRank(rank) {
    return this.byTime[Math.min(this.count - 1, Math.max(0, rank))];
  }

  rankAfter(time) {
    return lowerBound(this.byTime, time, (item) => item.time);
  }
}

// The scale adds position, and the layout level, x, y, radius and label.
function createItem(fields, row) {
  const item = Object.fromEntries(fields.map((field, i) => [field, row[i]]));
  item.lane = Math.max(0, TRACKS.indexOf(item.track));
  item.time = (item.start + item.end) / 2;
  item.bold = item.weight >= BOLD_WEIGHT;
  item.opacity = 0; // of its label, which fades in
  return item;
}

// The first index in a sorted list whose key is not less than the value.
export function lowerBound(sorted, value, keyOf) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keyOf(sorted[middle]) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
