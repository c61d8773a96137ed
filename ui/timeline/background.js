// What is behind the milestones: the eras, the lines of the years, and the lanes with their names.

import { TRACKS } from "../components/tracks.js";
import { shortMonth } from "./dates.js";
import { FOLDED_LANE } from "./regions.js";
import { createSymbol } from "./symbols.js";

const ERA_LINE = 15; // pixels from one line of an era's text to the next
const UPRIGHT_BOTTOM = 54; // where a text that is turned begins
const MIN_ERA_WIDTH = 2; // for a text, with some pixels at both sides

export function drawEras(context, scene) {
  const { eras, scale, regions, theme } = scene;
  eras.forEach((era, i) => {
    const from = Math.max(i ? scale.x(era.start) : 0, 0);
    const isLast = i === eras.length - 1;
    const to = Math.min(isLast ? regions.width : scale.x(era.to), regions.width);
    if (to <= from) return;
    context.globalAlpha = 1;
    context.fillStyle = theme.bands[i % 2];
    context.fillRect(from, 0, to - from, regions.bottom);
    context.globalAlpha = 0.16;
    context.fillStyle = theme.ink;
    if (i) context.fillRect(from, 0, 1, regions.bottom);
    drawEraText(context, scene, era, Math.max(from, regions.left - 4) + 8, to - 8);
  });
  context.globalAlpha = 1;
}

// Stays in the part of the era that is in the window. Where the title doesn't fit, its short form
// may; a story that doesn't fit is left out. The card has them all.
function drawEraText(context, { regions, theme }, era, from, to) {
  const { narrow } = regions;
  const maxLines = narrow ? 3 : 4;
  era.isStoryDrawn = false;
  if (to - from < MIN_ERA_WIDTH) return;
  context.globalAlpha = 0.92;
  context.fillStyle = theme.ink;
  context.font = `600 ${narrow ? 11 : 12.5}px ${theme.font}`;
  const titles = [era.title, era.short].map((text) => wrapText(context, text, to - from));
  const title = titles.find((lines) => lines && lines.length <= maxLines - 1);
  if (!title) return drawUpright(context, theme, era.short, (from + to) / 2);
  title.forEach((line, i) => context.fillText(line, from, 13 + i * ERA_LINE));
  context.font = `400 ${narrow ? 10.5 : 11.5}px ${theme.font}`;
  const story = wrapText(context, era.story, Math.min(to - from, 560));
  if (!story || story.length + title.length > maxLines) return;
  era.isStoryDrawn = true;
  context.globalAlpha = 0.72;
  story.forEach((line, i) => context.fillText(line, from, 14 + (title.length + i) * ERA_LINE));
}

// From the bottom to the top, where an era is narrower than a word.
function drawUpright(context, theme, text, x) {
  context.save();
  context.font = `600 10px ${theme.font}`;
  context.textAlign = "left";
  context.translate(x, UPRIGHT_BOTTOM);
  context.rotate(-Math.PI / 2);
  context.fillText(text, 0, 0, UPRIGHT_BOTTOM - 3); // narrower in a font that is too wide
  context.restore();
}

// The lines of a text in that width; null if a word alone is wider.
function wrapText(context, text, width) {
  const fits = (line) => context.measureText(line).width <= width;
  const lines = [];
  for (const word of text.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && fits(longer)) lines[lines.length - 1] = longer;
    else if (fits(word)) lines.push(word);
    else return null;
  }
  return lines;
}

export function drawTicks(context, { scale, regions, theme }) {
  context.textAlign = "center";
  context.fillStyle = theme.ink;
  for (const { month, step, x: exact } of scale.ticks(regions.narrow ? 46 : 52)) {
    const x = Math.round(exact);
    const isYear = month % 12 === 0;
    const isStrong = isYear && step < 12;
    context.globalAlpha = isStrong ? 0.2 : 0.09;
    context.fillRect(x, regions.top, 1, regions.bottom - regions.top + 5);
    context.globalAlpha = isYear ? 0.85 : 0.68;
    context.font = `${isStrong ? 600 : 400} 11.5px ${theme.font}`;
    const text = isYear ? String(month / 12) : shortMonth(month % 12);
    const half = context.measureText(text).width / 2;
    const fits = x - half >= regions.left - 6 && x + half <= regions.width;
    if (fits) context.fillText(text, x, regions.bottom + 15);
  }
  context.textAlign = "left";
  context.globalAlpha = 1;
}

export function drawLaneLines(context, { regions, theme }) {
  context.fillStyle = theme.ink;
  [...regions.laneTops, regions.bottom].forEach((y, lane) => {
    context.globalAlpha = lane % TRACKS.length ? 0.13 : 0.3;
    context.fillRect(0, Math.round(y), regions.width, 1);
  });
  context.globalAlpha = 1;
}

export function drawLaneNames(context, { milestones, regions, theme }) {
  const { narrow, laneTops, bottom } = regions;
  const x = narrow ? 14 : 9;
  context.globalAlpha = 1;
  TRACKS.forEach((track, lane) => {
    const top = laneTops[lane];
    const isFolded = (laneTops[lane + 1] ?? bottom) - top <= FOLDED_LANE;
    const y = narrow || isFolded ? top + 11 : (top + (laneTops[lane + 1] ?? bottom)) / 2;
    context.fillStyle = theme.tracks[lane];
    context.fill(createSymbol(lane, x, y, narrow ? 4 : 5.5));
    context.font = `600 ${narrow ? 11 : 13.5}px ${theme.font}`;
    const name = track[0].toUpperCase() + track.slice(1);
    if (narrow) drawHalo(context, theme, name, x + 9, y + 0.5);
    context.fillText(name, x + (narrow ? 9 : 12), y + 0.5);
    const count = milestones.byLane[lane].length;
    if (!narrow && !isFolded) drawCount(context, theme, count, x + 12, y + 17);
  });
}

// Where a lane's name stands above its milestones, arcs pass below the name.
function drawHalo(context, theme, name, x, y) {
  context.strokeStyle = theme.paper;
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeText(name, x, y);
}

function drawCount(context, theme, count, x, y) {
  context.fillStyle = theme.ink;
  context.globalAlpha = 0.7;
  context.font = `400 11.5px ${theme.font}`;
  context.fillText(String(count), x, y);
  context.globalAlpha = 1;
}
