// The four tracks and their symbols, which differ without colour: round, square, diamond, triangle.

export const TRACKS = ["theory", "software", "hardware", "data"];

// The outline of a symbol around (x, y), as an SVG path. The radius is that of the circle; the
// others are scaled to look as large.
export function symbolPath(track, x, y, radius) {
  const r = radius;
  if (track === "software") return polygonPath(x, y, 0.88 * r, [-1, -1, 1, -1, 1, 1, -1, 1]);
  if (track === "hardware") return polygonPath(x, y, 1.22 * r, [0, -1, 1, 0, 0, 1, -1, 0]);
  if (track === "data") return polygonPath(x, y, 1.16 * r, [0, -1, 1, 0.76, -1, 0.76]);
  return `M${x - r},${y} a${r},${r} 0 1 0 ${2 * r},0 a${r},${r} 0 1 0 ${-2 * r},0 Z`;
}

function polygonPath(x, y, scale, corners) {
  const points = [];
  for (let i = 0; i < corners.length; i += 2) {
    points.push(`${x + scale * corners[i]},${y + scale * corners[i + 1]}`);
  }
  return `M${points.join(" L")} Z`;
}
