// Draws the symbols of the tracks on a canvas.

import { TRACKS, symbolPath } from "../components/tracks.js";

const HINT_RADIUS = 3; // smaller than that, a symbol is filled and has a thin rim

export function createSymbol(lane, x, y, radius) {
  return new Path2D(symbolPath(TRACKS[lane], x, y, radius));
}

// Symbols of milestones are copied from small pictures: drawing each path is several times slower.
export class SymbolPictures {
  constructor() {
    this.pictures = new Map();
  }

  clear() {
    this.pictures.clear();
  }

  draw(context, item, radius, { theme, pixelRatio }) {
    const rounded = Math.round(radius * 2) / 2;
    const key = `${item.lane} ${rounded} ${item.runs}`;
    if (!this.pictures.has(key)) {
      this.pictures.set(key, createPicture(item, rounded, theme, pixelRatio));
    }
    const { canvas, half } = this.pictures.get(key);
    context.drawImage(canvas, item.x - half, item.y - half, half * 2, half * 2);
  }
}

function createPicture({ lane, runs }, radius, theme, pixelRatio) {
  const canvas = document.createElement("canvas");
  const half = Math.ceil(radius * 1.3) + 2;
  canvas.width = canvas.height = half * 2 * pixelRatio;
  const context = canvas.getContext("2d");
  context.scale(pixelRatio, pixelRatio);
  const symbol = createSymbol(lane, half, half, radius);
  const isHint = radius < HINT_RADIUS;
  context.fillStyle = runs || isHint ? theme.tracks[lane] : theme.paper;
  context.fill(symbol);
  context.strokeStyle = isHint ? theme.paper : theme.tracks[lane];
  context.lineWidth = isHint ? 0.5 : 1.6;
  context.stroke(symbol);
  return { canvas, half };
}
