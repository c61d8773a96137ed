// The colours and the font of the page, as a canvas needs them.

import { TRACKS } from "../components/tracks.js";

// `context` is any 2D context: it turns each CSS colour into #rrggbb.
export function readTheme(element, context) {
  const style = getComputedStyle(element);
  const read = (name, fallback = "") => style.getPropertyValue(name).trim() || fallback;
  const ink = read("--st-text-color", "#31333f");
  const paper = read("--st-background-color", "#ffffff");
  const [inkRgb, paperRgb] = [parseColour(ink, context), parseColour(paper, context)];
  const isDark = 0.3 * paperRgb[0] + 0.59 * paperRgb[1] + 0.11 * paperRgb[2] < 128;
  return {
    ...{ ink, paper, isDark },
    accent: read("--st-primary-color", "#c2386b"),
    font: style.fontFamily,
    bands: [paper, mixColours(paperRgb, inkRgb, 0.045)], // the eras, in turn
    tracks: TRACKS.map((track) => read(isDark ? `--${track}-on-dark` : `--${track}`)),
    // for what came of the selected milestone: far from the colours of the tracks
    descendants: isDark ? "#ff8fa8" : "#c22552",
  };
}

function parseColour(colour, context) {
  context.fillStyle = colour;
  return [1, 3, 5].map((start) => parseInt(String(context.fillStyle).slice(start, start + 2), 16));
}

function mixColours(from, to, share) {
  return `rgb(${from.map((part, i) => Math.round(part + (to[i] - part) * share)).join()})`;
}
