// The arcs between the selected milestone and those that it is linked to.

import { ROW_HEIGHT } from "./regions.js";

const ARROW_GAP = 9; // pixels: the arrow stops at the rim of the dot
const POINT_DISTANCE = 5;
const MAX_POINTS = 400;

// Filters may have taken the other end of a link away; it has no arc then.
export function createArcs(links, selected, byId) {
  const arcs = [];
  for (const link of links) {
    const later = byId.get(link.source);
    const earlier = byId.get(link.target);
    const isOwn = link.source === selected || link.target === selected;
    if (!later || !earlier || !isOwn) continue;
    const isSource = link.source === selected; // the selected milestone builds on the other
    const other = isSource ? earlier : later;
    arcs.push({ later, earlier, isSource, other, type: link.as, reason: link.how });
  }
  return arcs;
}

// The four control points of a Bézier curve from the earlier to the later milestone.
export function arcCurve({ earlier, later }) {
  const across = Math.abs(later.x - earlier.x);
  const isLevel = earlier.lane === later.lane && Math.abs(earlier.y - later.y) < ROW_HEIGHT * 1.5;
  const lift = isLevel ? Math.min(46, across * 0.3) : 0;
  const reach = Math.max(24, across * 0.45);
  const end = later.x - ARROW_GAP;
  return {
    xs: [earlier.x, earlier.x + reach, end - reach, end - 5],
    ys: [earlier.y, earlier.y - lift, later.y - lift, later.y],
    end,
  };
}

// Points along the curve, a few pixels apart.
export function curvePoints({ xs, ys, end }) {
  const length = Math.abs(end + ARROW_GAP - xs[0]) + Math.abs(ys[3] - ys[0]);
  const count = Math.min(MAX_POINTS, Math.ceil(length / POINT_DISTANCE));
  const points = [];
  for (let i = 0; i <= count; i++) points.push([bezier(xs, i / count), bezier(ys, i / count)]);
  return points;
}

function bezier([a, b, c, d], t) {
  const s = 1 - t;
  return a * s ** 3 + 3 * b * t * s ** 2 + 3 * c * t * t * s + d * t ** 3;
}
