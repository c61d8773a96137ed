// The years in the window, and where each of them is in pixels.
//
// A position is a year on a scale where crowded years are wider (density.py). Views are stretches
// of positions, so that zooming and moving are even on the screen.

import { lowerBound } from "./milestones.js";

const MIN_SPAN = 0.3; // positions in the window when zoomed in as far as it goes
const TIME_CONSTANT_MS = 75; // of the movement towards the target
const TICK_MONTHS = [1, 3, 6, 12, 24, 60, 120];
const DECADE = 120; // months

// `domain` are all positions that can be shown, `view` those drawn now, and `target` those that the
// view moves to; each is { from, to }.
export class TimeScale {
  // `onMove` is called whenever the target changes.
  constructor(onMove) {
    this.onMove = onMove;
    this.domain = this.view = this.target = null;
    this.knots = []; // [year, position], sorted; none: all years have the same width
    this.left = this.width = 0; // of the plot, in pixels
    this.motionQuery = matchMedia("(prefers-reduced-motion: reduce)");
  }

  get reducedMotion() {
    return this.motionQuery.matches;
  }

  get domainSpan() {
    return this.domain.to - this.domain.from;
  }

  get targetSpan() {
    return this.target.to - this.target.from;
  }

  get viewYears() {
    return { from: this.year(this.view.from), to: this.year(this.view.to) };
  }

  get targetYears() {
    return { from: this.year(this.target.from), to: this.year(this.target.to) };
  }

  get showsAll() {
    return this.targetSpan >= this.domainSpan - 1e-9;
  }

  position(year) {
    return interpolate(this.knots, 0, 1, year);
  }

  year(position) {
    return interpolate(this.knots, 1, 0, position);
  }

  xOf(position) {
    return this.left + ((position - this.view.from) / (this.view.to - this.view.from)) * this.width;
  }

  x(year) {
    return this.xOf(this.position(year));
  }

  positionAt(x) {
    return this.view.from + ((x - this.left) / this.width) * (this.view.to - this.view.from);
  }

  yearAt(x) {
    return this.year(this.positionAt(x));
  }

  // The same two for the overview, which shows the whole domain in the same width.
  overviewX(year) {
    const share = (this.position(year) - this.domain.from) / this.domainSpan;
    return this.left + share * this.width;
  }

  overviewPosition(x) {
    return this.domain.from + ((x - this.left) / this.width) * this.domainSpan;
  }

  clampSpan(span) {
    return Math.min(this.domainSpan, Math.max(MIN_SPAN, span));
  }

  // Another width of the years; those in the window stay in it.
  setKnots(knots) {
    const target = this.target && this.targetYears;
    this.knots = knots;
    if (target) this.reset(target.from, target.to);
  }

  // Moves to these years at once and tells nobody.
  reset(fromYear, toYear) {
    this.target = this._clamp(this.position(fromYear), this.position(toYear));
    this.view = { ...this.target };
  }

  moveTo(from, to, animated = true) {
    this.target = this._clamp(from, to);
    if (!animated || this.reducedMotion) this.view = { ...this.target };
    this.onMove();
  }

  showYears(from, to, animated = true) {
    this.moveTo(this.position(from), this.position(to), animated);
  }

  // The time at x stays where it is.
  zoom(factor, x = this.left + this.width / 2) {
    const { from } = this.target;
    const span = this.clampSpan(this.targetSpan * factor);
    const start = from + (this.targetSpan - span) * ((x - this.left) / this.width);
    this.moveTo(start, start + span);
  }

  // By a fraction of the window.
  pan(fraction, animated = true) {
    const { from, to } = this.target;
    const by = this.targetSpan * fraction;
    this.moveTo(from + by, to + by, animated);
  }

  showAll() {
    this.moveTo(this.domain.from, this.domain.to);
  }

  // Moves the view towards its target; returns whether it is still on the way. Both ends go the
  // same share of their way, which keeps the time at the centre of a zoom where it is.
  advance(elapsedMs) {
    const { view, target } = this;
    const near = this.targetSpan / this.width / 4;
    if (Math.abs(view.from - target.from) < near && Math.abs(view.to - target.to) < near) {
      this.view = { ...target };
      return false;
    }
    const share = 1 - Math.exp(-elapsedMs / TIME_CONSTANT_MS);
    this.view = {
      from: view.from + (target.from - view.from) * share,
      to: view.to + (target.to - view.to) * share,
    };
    return true;
  }

  // The months of the window's ticks, counted from year 0, each with the step that it is one of.
  // They are at least so many pixels apart; each decade is divided as finely as that allows.
  ticks(pixels) {
    const { from, to } = this.viewYears;
    const ticks = [];
    let last = -Infinity; // pixels
    const first = Math.floor((from * 12) / DECADE) * DECADE;
    for (let decade = first; decade <= to * 12; decade += DECADE) {
      const step = this._tickStep(decade, pixels);
      for (let month = decade; month < decade + DECADE; month += step) {
        const x = this.x(month / 12);
        if (x - last < pixels * 0.8) continue;
        if (month >= from * 12 && month <= to * 12) ticks.push({ month, step, x });
        last = x;
      }
    }
    return ticks;
  }

  _tickStep(decade, pixels) {
    const isWide = (step) => {
      for (let month = decade; month < decade + DECADE; month += step) {
        if (this.x((month + step) / 12) - this.x(month / 12) < pixels) return false;
      }
      return true;
    };
    return TICK_MONTHS.find(isWide) ?? DECADE;
  }

  _clamp(from, to) {
    const span = this.clampSpan(to - from);
    const latest = this.domain.to - span;
    const start = Math.min(latest, Math.max(this.domain.from, (from + to - span) / 2));
    return { from: start, to: start + span };
  }
}

// Between the points it is linear, outside it goes on with the same distance as at the end.
function interpolate(points, from, to, value) {
  if (!points.length) return value;
  const high = lowerBound(points, value, (point) => point[from]);
  const end = high === 0 ? points[0] : points[high] ? null : points.at(-1);
  if (end) return value + end[to] - end[from];
  const [before, after] = [points[high - 1], points[high]];
  const share = (value - before[from]) / (after[from] - before[from]);
  return before[to] + share * (after[to] - before[to]);
}
