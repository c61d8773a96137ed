// The years in the window, and where each of them is in pixels.

const MIN_YEARS = 0.3; // in the window when zoomed in as far as it goes
const TIME_CONSTANT_MS = 75; // of the movement towards the target
const TICK_MONTHS = [1, 3, 6, 12, 24, 60, 120, 240];

// `domain` are all years that can be shown, `view` those drawn now, and `target` those that the
// view moves to; each is { from, to } in years with decimals.
export class TimeScale {
  // `onMove` is called whenever the target changes.
  constructor(onMove) {
    this.onMove = onMove;
    this.domain = this.view = this.target = null;
    this.left = this.width = 0; // of the plot, in pixels
    this.motionQuery = matchMedia("(prefers-reduced-motion: reduce)");
  }

  get reducedMotion() {
    return this.motionQuery.matches;
  }

  get domainYears() {
    return this.domain.to - this.domain.from;
  }

  get targetYears() {
    return this.target.to - this.target.from;
  }

  get pixelsPerYear() {
    return this.width / (this.view.to - this.view.from);
  }

  x(time) {
    return this.left + (time - this.view.from) * this.pixelsPerYear;
  }

  time(x) {
    return this.view.from + (x - this.left) / this.pixelsPerYear;
  }

  // The same two for the overview, which shows the whole domain in the same width.
  overviewX(time) {
    return this.left + ((time - this.domain.from) / this.domainYears) * this.width;
  }

  overviewTime(x) {
    return this.domain.from + ((x - this.left) / this.width) * this.domainYears;
  }

  clampYears(years) {
    return Math.min(this.domainYears, Math.max(MIN_YEARS, years));
  }

  // Moves at once and tells nobody.
  reset(from, to) {
    this.target = this._clamp(from, to);
    this.view = { ...this.target };
  }

  moveTo(from, to, animated = true) {
    this.target = this._clamp(from, to);
    if (!animated || this.reducedMotion) this.view = { ...this.target };
    this.onMove();
  }

  // The time at x stays where it is.
  zoom(factor, x = this.left + this.width / 2) {
    const { from } = this.target;
    const years = this.clampYears(this.targetYears * factor);
    const start = from + (this.targetYears - years) * ((x - this.left) / this.width);
    this.moveTo(start, start + years);
  }

  // By a fraction of the window.
  pan(fraction, animated = true) {
    const { from, to } = this.target;
    const years = this.targetYears * fraction;
    this.moveTo(from + years, to + years, animated);
  }

  showAll() {
    this.moveTo(this.domain.from, this.domain.to);
  }

  // Moves the view towards its target; returns whether it is still on the way. Both ends go the
  // same share of their way, which keeps the time at the centre of a zoom where it is.
  advance(elapsedMs) {
    const { view, target } = this;
    const near = this.targetYears / this.width / 4;
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

  // The smallest number of months between ticks that are at least so many pixels apart.
  tickMonths(pixels) {
    const isWide = (months) => (months / 12) * this.pixelsPerYear >= pixels;
    return TICK_MONTHS.find(isWide) ?? 480;
  }

  _clamp(from, to) {
    const years = this.clampYears(to - from);
    const latest = this.domain.to - years;
    const start = Math.min(latest, Math.max(this.domain.from, (from + to - years) / 2));
    return { from: start, to: start + years };
  }
}
