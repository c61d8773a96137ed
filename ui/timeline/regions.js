// The regions of the canvas: from top to bottom the eras, four lanes, the years and the overview.

import { TRACKS } from "../components/tracks.js";

const NARROW = 640; // pixels; narrower than that is a phone
export const ROW_HEIGHT = 19; // from one row of labels to the next
export const OVERVIEW_HEIGHT = 36; // with its years
export const OVERVIEW_BAR = 24; // without
const LANE_PADDING = 12;
export const FOLDED_LANE = 24; // the height of a lane without milestones

// `counts` are the milestones in each lane. Lanes without any are folded, if others have some.
export function computeRegions(width, height, counts) {
  const narrow = width < NARROW;
  const left = narrow ? 8 : 108; // the names of the lanes are at the left, or on a phone above them
  const top = narrow ? 60 : 74; // below the eras
  const bottom = height - 68; // above the years and the overview
  const isFolded = counts.map((count) => !count && counts.some(Boolean));
  const folded = isFolded.filter(Boolean).length;
  const laneHeight = (bottom - top - folded * FOLDED_LANE) / (TRACKS.length - folded);
  const laneTops = [];
  isFolded.reduce((y, fold) => (laneTops.push(y), y + (fold ? FOLDED_LANE : laneHeight)), top);
  const laneNameHeight = narrow ? 16 : 0;
  const rowsHeight = laneHeight - laneNameHeight - LANE_PADDING;
  return {
    ...{ width, height, narrow, left, top, bottom, laneTops, laneNameHeight, rowsHeight },
    plotWidth: width - left - (narrow ? 8 : 14),
    rows: Math.max(1, Math.floor(rowsHeight / ROW_HEIGHT)), // in each lane
    overviewTop: height - OVERVIEW_HEIGHT,
  };
}

// The middle of a milestone; `level` is its place in the lane, from 0 to 1.
export function milestoneY(regions, { lane, level }) {
  const laneTop = regions.laneTops[lane] + regions.laneNameHeight;
  return laneTop + regions.rowsHeight * level + LANE_PADDING / 2;
}

// The lane at a height of the canvas.
export function laneAt({ laneTops }, y) {
  return laneTops.findLastIndex((top) => y >= top);
}

export function isOnOverview(regions, y) {
  return y > regions.overviewTop - 4;
}
