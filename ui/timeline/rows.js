// Assigns each milestone its level in its lane, which is the same at every zoom.

import { TRACKS } from "../components/tracks.js";
import { lowerBound } from "./milestones.js";

const ALONE = 9; // positions; a milestone with no other so near stays on the middle line

// The most important choose first, each the row where its neighbours are farthest away on the
// scale. So what matters is spread out and finds room for its label, and dots never jump while
// zooming.
export function assignLevels(byImportance, rowCount) {
  for (let lane = 0; lane < TRACKS.length; lane++) {
    const items = byImportance.filter((item) => item.lane === lane);
    assignLaneLevels(items, rowCount);
    spreadSameDates(items, rowCount);
  }
}

function assignLaneLevels(items, rowCount) {
  const distance = (row) => Math.abs(row - (rowCount - 1) / 2);
  const middleFirst = [...Array(rowCount).keys()].sort((a, b) => distance(a) - distance(b));
  const places = middleFirst.map(() => []); // positions in each row, sorted
  for (const item of items) {
    const { row, index } = freestRow(item.position, places, middleFirst);
    places[row].splice(index, 0, item.position);
    item.level = (row + 0.5) / rowCount;
  }
}

function freestRow(position, places, order) {
  let best = null;
  for (const row of order) {
    const index = lowerBound(places[row], position, (other) => other);
    const before = position - (places[row][index - 1] ?? -Infinity);
    const after = (places[row][index] ?? Infinity) - position;
    const gap = Math.min(before, after);
    if (!best || gap > best.gap) best = { row, index, gap };
    if (gap > ALONE) break;
  }
  return best;
}

// More milestones of one date than there are rows share the height of the lane.
function spreadSameDates(items, rowCount) {
  const groups = new Map(); // time -> milestones
  for (const item of items) {
    const group = groups.get(item.time);
    if (group) group.push(item);
    else groups.set(item.time, [item]);
  }
  for (const group of groups.values()) {
    if (group.length <= rowCount) continue;
    group.forEach((item, i) => (item.level = (i + 0.5) / group.length));
  }
}
