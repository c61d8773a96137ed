// The overview below the timeline: all years, with the window drawn as a frame.

import { OVERVIEW_BAR, OVERVIEW_HEIGHT } from "./regions.js";

const MANY = 600; // milestones; from there on their strokes are faint
const LANE_HEIGHT = 5.2;
const MIN_YEAR_DISTANCE = 36; // pixels between the middles of two years

export class Overview {
  // The picture is drawn anew in the next frame.
  clear() {
    this.picture = null;
  }

  draw(context, scene) {
    const { scale, regions, theme } = scene;
    this.picture ??= createPicture(scene);
    const top = regions.overviewTop;
    context.drawImage(this.picture, 0, top, regions.width, OVERVIEW_HEIGHT);
    const years = scale.viewYears;
    const from = scale.overviewX(years.from);
    const width = Math.max(6, scale.overviewX(years.to) - from);
    context.fillStyle = context.strokeStyle = theme.ink;
    context.globalAlpha = 0.09;
    context.fillRect(from, top, width, OVERVIEW_BAR);
    context.globalAlpha = 0.75;
    context.lineWidth = 1.25;
    context.strokeRect(from, top + 0.5, width, OVERVIEW_BAR - 1);
    context.globalAlpha = 1;
  }
}

function createPicture(scene) {
  const { regions, theme, pixelRatio } = scene;
  const picture = document.createElement("canvas");
  picture.width = Math.round(regions.width * pixelRatio);
  picture.height = Math.round(OVERVIEW_HEIGHT * pixelRatio);
  const context = picture.getContext("2d");
  context.scale(pixelRatio, pixelRatio);
  context.fillStyle = theme.ink;
  context.globalAlpha = 0.05;
  context.fillRect(regions.left, 0, regions.plotWidth, OVERVIEW_BAR);
  drawStrokes(context, scene);
  drawYears(context, scene);
  return picture;
}

function drawStrokes(context, { scale, theme, milestones }) {
  context.globalAlpha = milestones.count > MANY ? 0.35 : 0.8;
  for (const { lane, time } of milestones.byImportance) {
    context.fillStyle = theme.tracks[lane];
    context.fillRect(scale.overviewX(time) - 0.75, 2 + lane * LANE_HEIGHT, 1.5, 4.4);
  }
}

function drawYears(context, { scale, regions, theme }) {
  context.globalAlpha = 0.72;
  context.fillStyle = theme.ink;
  context.font = `400 10px ${theme.font}`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  let last = -Infinity;
  for (let year = 1950; year < scale.domain.to; year += regions.narrow ? 20 : 10) {
    const x = scale.overviewX(year);
    if (x - last < MIN_YEAR_DISTANCE) continue;
    context.fillText(String(year), x, 31);
    last = x;
  }
  if (regions.narrow) return;
  context.textAlign = "left";
  context.fillText("All years", 3, 13);
}
