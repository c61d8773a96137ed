// Draws the timeline on its canvas, from the back to the front.

import { drawEras, drawLaneLines, drawLaneNames, drawTicks } from "./background.js";
import { Occupancy } from "./occupancy.js";
import { Overview } from "./overview.js";
import { SymbolPictures } from "./symbols.js";

const FADE_IN_MS = 140; // of a label
const HINT_RADIUS = 2.5; // of a milestone without a label
const MIN_RANGE_WIDTH = 26; // pixels; a line below the label says how long a date can be

// The scene has all that is drawn: milestones, layout, eras, scale, regions, theme, pixelRatio and
// the milestones that are selected, hovered and focused, if any.
export class Drawing {
  constructor(context) {
    this.context = context;
    this.symbols = new SymbolPictures();
    this.overview = new Overview();
    this.hintCells = new Occupancy(3);
  }

  // To be called when colours, fonts, sizes or milestones have changed.
  clear() {
    this.symbols.clear();
    this.overview.clear();
  }

  // Returns whether labels are still fading in.
  draw(scene, elapsedMs) {
    const { context } = this;
    const { regions, theme, pixelRatio } = scene;
    context.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
    context.globalAlpha = 1;
    context.fillStyle = theme.paper;
    context.fillRect(0, 0, regions.width, regions.height);
    context.textBaseline = "middle";
    context.save();
    context.beginPath();
    context.rect(regions.narrow ? 0 : regions.left - 6, 0, regions.width, regions.bottom + 26);
    context.clip();
    drawEras(context, scene);
    drawTicks(context, scene);
    drawLaneLines(context, scene);
    this._drawArcs(scene);
    this._drawHints(scene);
    const isFading = this._drawLabelled(scene, elapsedMs);
    this._drawRings(scene);
    context.restore();
    drawLaneNames(context, scene);
    this.overview.draw(context, scene);
    return isFading;
  }

  _drawArcs({ layout, hovered, theme }) {
    const { context } = this;
    for (const { curve, isSource, other } of layout.arcs) {
      const { xs, ys, end } = curve;
      const isStrong = other === hovered;
      context.strokeStyle = context.fillStyle = isSource ? theme.ink : theme.descendants;
      context.globalAlpha = isStrong ? 1 : 0.72;
      context.lineWidth = isStrong ? 2.6 : 1.5;
      context.setLineDash(isSource ? [] : [7, 3]);
      context.beginPath();
      context.moveTo(xs[0], ys[0]);
      context.bezierCurveTo(xs[1], ys[1], xs[2], ys[2], xs[3], ys[3]);
      context.stroke();
      context.setLineDash([]);
      this._drawArrow(end, ys[3]);
    }
    context.globalAlpha = 1;
  }

  _drawArrow(x, y) {
    const { context } = this;
    context.beginPath();
    context.moveTo(x + 1, y);
    context.lineTo(x - 7, y - 4);
    context.lineTo(x - 7, y + 4);
    context.closePath();
    context.fill();
  }

  // Milestones without a label are small; thousands of them on the same pixels are one.
  _drawHints(scene) {
    const { layout, regions } = scene;
    this.hintCells.clear(regions.width, regions.height);
    this.context.globalAlpha = layout.highlighted.size ? 0.62 * 0.55 : 0.62;
    for (const item of layout.visible) {
      if (item.label) continue;
      item.opacity = 0;
      if (!this.hintCells.isFree(item.x, item.y, 0, 0)) continue;
      this.hintCells.take(item.x, item.y, 0, 0);
      this.symbols.draw(this.context, item, HINT_RADIUS, scene);
    }
  }

  // The most important last, so that they are in front.
  _drawLabelled(scene, elapsedMs) {
    const { layout, scale } = scene;
    const step = scale.reducedMotion ? 1 : elapsedMs / FADE_IN_MS;
    let isFading = false;
    for (const item of layout.labelled.toReversed()) {
      item.opacity = Math.min(1, item.opacity + step);
      isFading ||= item.opacity < 1;
      this._drawMilestone(scene, item);
    }
    return isFading;
  }

  _drawMilestone(scene, item) {
    const { context } = this;
    const { layout, hovered, theme } = scene;
    const isStrong = layout.highlighted.has(item) || item === hovered;
    const isFaint = !isStrong && layout.highlighted.size > 0;
    this._drawDateRange(scene, item, isFaint);
    if (layout.isCrowded) this._drawLabelBackground(scene, item.label);
    context.globalAlpha = item.opacity * (isFaint ? 0.38 : 1);
    this.symbols.draw(context, item, item.radius, scene);
    context.globalAlpha = item.opacity * (isStrong ? 1 : isFaint ? 0.5 : 0.94);
    context.fillStyle = theme.ink;
    context.font = layout.font.css(item);
    context.fillText(item.short, item.label.x, item.y + 0.5);
  }

  // The date may mean a whole year: a line shows from when to when.
  _drawDateRange({ scale, theme }, item, isFaint) {
    const from = scale.x(item.start);
    const width = scale.x(item.end) - from;
    if (width <= MIN_RANGE_WIDTH) return;
    this.context.globalAlpha = isFaint ? 0.3 * 0.3 : 0.3;
    this.context.fillStyle = theme.tracks[item.lane];
    this.context.fillRect(from, item.y + 8, width, 1.5);
  }

  _drawLabelBackground({ scale, eras, theme }, { x, y, width, height }) {
    const middle = scale.yearAt(x + width / 2);
    const era = Math.max(0, eras.findIndex(({ to }) => middle < to));
    this.context.globalAlpha = 0.9;
    this.context.fillStyle = theme.bands[era % 2];
    this.context.fillRect(x - 2, y + 1, width + 4, height - 2);
  }

  _drawRings(scene) {
    const { selected, hovered, focused, theme } = scene;
    if (selected) this._drawRing(scene, selected, theme.descendants, 2.5, 3.5);
    if (hovered) this._drawRing(scene, hovered, theme.tracks[hovered.lane], 2, 3.5);
    if (focused) this._drawRing(scene, focused, theme.accent, 2.5, 5);
  }

  _drawRing(scene, item, colour, lineWidth, distance) {
    const { context } = this;
    context.globalAlpha = 1;
    if (!item.label) this.symbols.draw(context, item, item.radius, scene);
    context.strokeStyle = colour;
    context.lineWidth = lineWidth;
    context.beginPath();
    context.arc(item.x, item.y, item.radius + distance, 0, 2 * Math.PI);
    context.stroke();
  }
}
