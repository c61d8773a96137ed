// The timeline on one canvas. Streamlit calls the default export at the end of this file at every rerun.
//
// A frame has two halves: `layout` decides where everything goes (pixels, labels), `paint` draws it.
// Nothing is drawn unless something changed, and only what is in the window is looked at twice.
// Texts from the data reach the page through fillText and textContent only.

const TRACKS = ["theory", "software", "hardware", "data"];
const COLOURS = {
  light: ["#2f6fb0", "#b85a12", "#1d7d5c", "#8a4ea3"],
  dark: ["#7db4e6", "#f0a35e", "#5fc9a0", "#cb9be0"],
};
const FIRST_YEAR = 1943;
const SHORTEST = 0.3; // years in the window when zoomed in as far as it goes
const ROW = 19; // pixels from one row of labels to the next
const LISTED = 600; // buttons for screen readers; beyond that the most important ones
const ATTEMPTS = 1500; // labels tried a frame; less important milestones than that stay dots
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const LONG_MONTHS = "January February March April May June July August September October November December".split(" ");

// Views outlive the element: Streamlit mounts anew when a page is left and entered, and the reader's place should stay.
const kept = new Map(); // key -> {from, to, selected}
const living = new WeakMap(); // parentElement -> Timeline

// ---- Time ---------------------------------------------------------------------------------------------------------

function dateInWords(date) {
  const [year, month, day] = String(date).split("-");
  const name = LONG_MONTHS[Number(month) - 1];
  return name ? (day ? `${Number(day)} ${name} ${year}` : `${name} ${year}`) : year;
}

function yearInWords(year, span) {
  const month = Math.floor((year - Math.floor(year)) * 12);
  return span > 8 ? String(Math.floor(year)) : `${MONTHS[month]} ${Math.floor(year)}`;
}

// The finest step, in months, whose ticks stay `room` pixels apart.
function tickStep(pixelsPerYear, room) {
  return [1, 3, 6, 12, 24, 60, 120, 240].find((months) => (months / 12) * pixelsPerYear >= room) ?? 480;
}

// ---- Rows: which height in its lane a milestone has, whatever the zoom ---------------------------------------------

// The most important choose first, each the row where its neighbours are farthest away in time; so what matters is
// spread out, labels find room early, and dots never jump while zooming. The same date goes to different rows: a stack.
function assignRows(items, rows) {
  const middleFirst = [...Array(rows).keys()].sort((a, b) => Math.abs(a - (rows - 1) / 2) - Math.abs(b - (rows - 1) / 2));
  for (let lane = 0; lane < TRACKS.length; lane++) {
    const taken = middleFirst.map(() => []); // sorted times in each row
    const stacks = new Map(); // time -> milestones of that date
    for (const item of items) {
      if (item.lane !== lane) continue;
      let best = null;
      for (const row of middleFirst) {
        const at = lowerBound(taken[row], item.time, (time) => time);
        const gap = Math.min(item.time - (taken[row][at - 1] ?? -Infinity), (taken[row][at] ?? Infinity) - item.time);
        if (!best || gap > best.gap) best = { row, at, gap };
        if (gap > 9) break; // alone for years: stay on the middle line
      }
      taken[best.row].splice(best.at, 0, item.time);
      item.height = (best.row + 0.5) / rows;
      const stack = stacks.get(item.time);
      if (stack) stack.push(item);
      else stacks.set(item.time, [item]);
    }
    for (const stack of stacks.values()) {
      if (stack.length > rows) stack.forEach((item, k) => (item.height = (k + 0.5) / stack.length));
    }
  }
}

function lowerBound(sorted, value, of) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(sorted[middle]) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// ---- Occupancy: a coarse raster that answers "is this rectangle free?" without comparing pairs ---------------------

class Occupancy {
  constructor(cell) {
    this.cell = cell;
    this.cells = new Uint8Array(0);
  }

  clear(width, height) {
    this.columns = Math.ceil(width / this.cell) + 1;
    this.rows = Math.ceil(height / this.cell) + 1;
    if (this.cells.length !== this.columns * this.rows) this.cells = new Uint8Array(this.columns * this.rows);
    else this.cells.fill(0);
  }

  // Calls until `visit` says stop; cells outside the raster count as free.
  each(x, y, width, height, visit) {
    const right = Math.min(this.columns - 1, Math.floor((x + width) / this.cell));
    const bottom = Math.min(this.rows - 1, Math.floor((y + height) / this.cell));
    for (let row = Math.max(0, Math.floor(y / this.cell)); row <= bottom; row++) {
      for (let column = Math.max(0, Math.floor(x / this.cell)); column <= right; column++) {
        if (visit(row * this.columns + column)) return true;
      }
    }
    return false;
  }

  free(x, y, width, height) {
    return !this.each(x, y, width, height, (cell) => this.cells[cell]);
  }

  take(x, y, width, height) {
    this.each(x, y, width, height, (cell) => void (this.cells[cell] = 1));
  }
}

// ---- Shapes --------------------------------------------------------------------------------------------------------

function trace(g, lane, x, y, r) {
  g.beginPath();
  if (lane === 0) g.arc(x, y, r, 0, 7);
  else if (lane === 1) g.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76);
  else if (lane === 2) polygon(g, x, y - r * 1.22, x + r * 1.22, y, x, y + r * 1.22, x - r * 1.22, y);
  else polygon(g, x, y - r * 1.15, x + r * 1.16, y + r * 0.88, x - r * 1.16, y + r * 0.88);
}

function polygon(g, ...points) {
  for (let i = 0; i < points.length; i += 2) g.lineTo(points[i], points[i + 1]);
  g.closePath();
}

function element(tag, className, parent, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  parent?.append(made);
  return made;
}

// ---- The timeline --------------------------------------------------------------------------------------------------

class Timeline {
  constructor(parent) {
    this.items = []; // most important first
    this.byId = new Map();
    this.lanes = TRACKS.map(() => []); // the same by time: the index for the pointer
    this.byTime = [];
    this.labels = []; // placed in the last layout
    this.selected = this.hovered = this.focused = null;
    this.links = [];
    this.widths = new Map();
    this.sprites = new Map();
    this.labelsTaken = new Occupancy(4);
    this.dotsTaken = new Occupancy(4);
    this.hintsDrawn = new Occupancy(3);
    this.pointers = new Map();
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.build(parent);
    this.listen();
  }

  build(parent) {
    this.root = element("div", "timeline", parent);
    const bar = element("div", "bar", this.root);
    this.status = element("div", "status", bar);
    this.legend = element("div", "legend", bar);
    const buttons = element("div", "buttons", bar);
    for (const [text, name, act] of [
      ["−", "Zoom out", () => this.zoom(1.8)],
      ["+", "Zoom in", () => this.zoom(1 / 1.8)],
      ["All", "Show everything", () => this.showAll()],
    ]) {
      const button = element("button", "", buttons, text);
      button.type = "button";
      button.title = name;
      button.setAttribute("aria-label", name);
      button.onclick = act;
    }
    this.canvas = element("canvas", "", this.root);
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute(
      "aria-label",
      "Timeline of milestones. Up and down arrows step through them, Enter opens one, left and right move in time, " +
        "plus and minus zoom, Home shows everything. The same milestones follow as a list.",
    );
    this.g = this.canvas.getContext("2d");
    this.card = element("div", "card", this.root);
    this.card.hidden = true;
    this.card.setAttribute("aria-hidden", "true"); // the live text says the same
    this.live = element("div", "unseen", this.root);
    this.live.setAttribute("aria-live", "polite");
    this.list = element("ul", "unseen", this.root);
    this.list.setAttribute("aria-label", "Milestones by date");
  }

  // ---- Data -----------------------------------------------------------------------------------------------------

  update({ data, setTriggerValue }) {
    this.send = (id) => setTriggerValue("clicked", id);
    this.root.style.height = `${data.height}px`;
    const signature = JSON.stringify(data.rows);
    if (signature !== this.signature) {
      this.signature = signature;
      this.load(data);
    }
    this.links = data.links;
    this.readTheme();
    const first = this.key === undefined;
    this.key = data.key;
    if (first) this.restore(data.selected);
    else this.follow(data.selected);
    this.resize();
  }

  load({ fields, rows, eras, span }) {
    this.items = rows.map((row) => {
      const item = Object.fromEntries(fields.map((field, i) => [field, row[i]]));
      item.lane = Math.max(0, TRACKS.indexOf(item.track));
      item.time = (item.start + item.end) / 2;
      item.bold = item.weight >= 0.6;
      item.fade = 0;
      return item;
    });
    this.byTime = [...this.items].sort((a, b) => a.time - b.time || (a.short < b.short ? -1 : 1));
    this.byTime.forEach((item, i) => (item.rank = i));
    this.lanes = TRACKS.map((_, lane) => this.byTime.filter((item) => item.lane === lane));
    this.items.sort((a, b) => b.weight - a.weight || a.rank - b.rank);
    this.byId = new Map(this.items.map((item) => [item.id, item]));
    this.domain = { from: Math.min(FIRST_YEAR, span[0]) - 0.8, to: span[1] + 0.8 };
    this.eras = eras.map((era, i) => ({ ...era, end: eras[i + 1]?.start ?? null, to: eras[i + 1]?.start ?? this.domain.to }));
    this.laneRows = this.map = null; // laid out anew
    this.hovered = null;
    this.focused = this.byId.get(this.focused?.id) ?? null;
    this.fillList();
  }

  fillList() {
    const listed = new Set(this.items.slice(0, LISTED));
    this.list.replaceChildren();
    for (const item of this.byTime) {
      if (!listed.has(item)) continue;
      const button = element("button", "", element("li", "", this.list), `${item.short}, ${dateInWords(item.date)}`);
      button.type = "button";
      button.dataset.id = item.id;
      button.tabIndex = this.list.children.length === 1 ? 0 : -1; // one stop for Tab; arrows move inside
    }
  }

  // ---- Selection ------------------------------------------------------------------------------------------------

  restore(selected) {
    const before = kept.get(this.key);
    this.asked = this.selected = selected;
    this.view = this.goal = before ? this.clamped(before.from, before.to) : { ...this.domain };
    if (selected && before?.selected !== selected) this.find(selected, false);
  }

  // What Python says is selected, unless it is still saying what it said before the click.
  follow(selected) {
    if (selected === this.asked && performance.now() - (this.clickedAt ?? -1e9) < 1500) return;
    const fromOutside = selected !== this.asked && selected !== this.clicked;
    if (selected !== this.asked) this.clicked = undefined;
    this.asked = this.selected = selected;
    if (fromOutside && selected) this.find(selected, true);
    else this.keep();
  }

  // The window that shows it and, where they are not too far, what it is linked to.
  find(id, moving) {
    const item = this.byId.get(id);
    if (!item) return;
    const times = this.related().map((other) => other.time);
    const reach = Math.max(2.5, ...times.map((time) => Math.abs(time - item.time) * 1.2));
    const half = Math.min(reach, 10);
    this.go(item.time - half, item.time + half, moving);
  }

  choose(item) {
    this.selected = this.clicked = item.id;
    this.clickedAt = performance.now();
    this.keep();
    this.send(item.id);
    this.changed();
  }

  // The links of the selected milestone whose other end is on the timeline (filters may have taken it away).
  arcs() {
    const arcs = [];
    for (const link of this.links) {
      const later = this.byId.get(link.source);
      const earlier = this.byId.get(link.target);
      if (!later || !earlier || (link.source !== this.selected && link.target !== this.selected)) continue;
      const builtOn = link.source === this.selected;
      arcs.push({ later, earlier, builtOn, other: builtOn ? earlier : later, as: link.as, how: link.how });
    }
    return arcs;
  }

  related() {
    return this.arcs().map((arc) => arc.other);
  }

  // ---- View -----------------------------------------------------------------------------------------------------

  clamped(from, to) {
    const all = this.domain.to - this.domain.from;
    const span = Math.min(all, Math.max(SHORTEST, to - from));
    const start = Math.min(this.domain.to - span, Math.max(this.domain.from, (from + to - span) / 2));
    return { from: start, to: start + span };
  }

  go(from, to, moving = true) {
    this.goal = this.clamped(from, to);
    if (!moving || this.still.matches) this.view = { ...this.goal };
    this.keep();
    this.changed();
  }

  keep() {
    kept.set(this.key, { ...this.goal, selected: this.selected });
  }

  zoom(factor, x = this.left + this.wide / 2, moving = true) {
    const { from, to } = this.goal;
    const span = Math.min(this.domain.to - this.domain.from, Math.max(SHORTEST, (to - from) * factor));
    const share = (x - this.left) / this.wide; // the time under the pointer stays there
    const start = from + (to - from - span) * share;
    this.go(start, start + span, moving);
  }

  pan(share, moving = true) {
    const by = (this.goal.to - this.goal.from) * share;
    this.go(this.goal.from + by, this.goal.to + by, moving);
  }

  showAll() {
    this.go(this.domain.from, this.domain.to);
  }

  x(time) {
    return this.left + ((time - this.view.from) / (this.view.to - this.view.from)) * this.wide;
  }

  time(x) {
    return this.view.from + ((x - this.left) / this.wide) * (this.view.to - this.view.from);
  }

  // ---- Theme and size -------------------------------------------------------------------------------------------

  readTheme() {
    const style = getComputedStyle(this.root);
    const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    this.ink = read("--st-text-color", "#31333f");
    this.paper = read("--st-background-color", "#ffffff");
    this.accent = read("--st-primary-color", "#c2386b");
    this.font = style.fontFamily;
    const theme = [this.ink, this.paper, this.accent, this.font].join();
    if (theme === this.theme) return;
    this.theme = theme;
    const [ink, paper] = [this.rgb(this.ink), this.rgb(this.paper)];
    this.dark = 0.3 * paper[0] + 0.59 * paper[1] + 0.11 * paper[2] < 128;
    const tint = (share) => `rgb(${paper.map((part, i) => Math.round(part + (ink[i] - part) * share)).join()})`;
    this.bands = [this.paper, tint(0.045)]; // eras, in turn
    this.colours = this.dark ? COLOURS.dark : COLOURS.light;
    this.led = this.dark ? "#ff8fa8" : "#c22552"; // away from the four tracks; what it built on is plain ink
    this.sprites.clear();
    this.widths.clear();
    this.map = null;
  }

  rgb(colour) {
    this.g.fillStyle = colour; // the canvas turns any CSS colour into #rrggbb
    return [1, 3, 5].map((at) => parseInt(String(this.g.fillStyle).slice(at, at + 2), 16));
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.ratio = window.devicePixelRatio || 1;
    this.width = width;
    this.high = height;
    const pixels = [Math.round(width * this.ratio), Math.round(height * this.ratio)];
    const same = this.canvas.width === pixels[0] && this.canvas.height === pixels[1];
    if (!same) [this.canvas.width, this.canvas.height] = pixels; // this also wipes it
    this.narrow = width < 640;
    this.left = this.narrow ? 8 : 108; // lane names stand beside the lanes, or on a phone above them
    this.wide = width - this.left - (this.narrow ? 8 : 14);
    this.top = this.narrow ? 50 : 74; // the eras
    this.bottom = height - 68; // below: axis and minimap
    this.laneHigh = (this.bottom - this.top) / TRACKS.length;
    this.namesHigh = this.narrow ? 16 : 0;
    const rows = Math.max(1, Math.floor((this.laneHigh - this.namesHigh - 12) / ROW));
    if (rows !== this.laneRows) assignRows(this.items, (this.laneRows = rows));
    if (same) return this.changed();
    this.sprites.clear();
    this.map = null;
    cancelAnimationFrame(this.frame);
    this.draw(performance.now()); // now: the observer comes after this frame's callbacks, and a wiped canvas would show
  }

  // ---- Frames ---------------------------------------------------------------------------------------------------

  changed() {
    if (this.frame || this.gone) return;
    this.lastFrame = performance.now();
    this.frame = requestAnimationFrame((now) => this.draw(now));
  }

  draw(now) {
    this.frame = 0;
    if (!this.width || !this.view) return;
    const passed = Math.min(50, Math.max(8, now - this.lastFrame));
    const moving = this.ease(passed);
    this.layout();
    const fading = this.paint(passed);
    this.tell();
    if (!moving && !fading) return;
    this.lastFrame = now;
    this.frame = requestAnimationFrame((later) => this.draw(later));
  }

  // Both ends of the window go the same share of their way, which keeps the anchor of a zoom where it is.
  ease(passed) {
    const { view, goal } = this;
    const near = (goal.to - goal.from) / this.wide / 4;
    if (Math.abs(view.from - goal.from) < near && Math.abs(view.to - goal.to) < near) {
      this.view = { ...goal };
      return false;
    }
    const share = 1 - Math.exp(-passed / 75);
    this.view = { from: view.from + (goal.from - view.from) * share, to: view.to + (goal.to - view.to) * share };
    return true;
  }

  // ---- Layout: pixels of everything in the window, and which labels fit -------------------------------------------

  layout() {
    const { labelsTaken, dotsTaken } = this;
    const arcs = (this.drawnArcs = this.arcs());
    const chosen = this.byId.get(this.selected);
    const first = new Set(chosen ? [chosen, ...arcs.map((arc) => arc.other)] : []);
    this.first = first;
    this.shown = [];
    for (const item of this.items) {
      item.x = this.x(item.time);
      item.y = this.top + this.laneHigh * item.lane + this.namesHigh + (this.laneHigh - this.namesHigh - 12) * item.height + 6;
      item.label = null;
      if (item.x >= this.left - 8 && item.x <= this.width + 8) this.shown.push(item);
      else item.fade = 0;
    }
    labelsTaken.clear(this.width, this.high);
    dotsTaken.clear(this.width, this.high);
    // With few dots a label may not hide one; with thousands that would leave no labels at all.
    if (this.shown.length < 500) for (const item of this.shown) dotsTaken.take(item.x - 3, item.y - 3, 6, 6);
    this.labels = [];
    let attempts = 0;
    // Arcs leave an earlier milestone to the right, so its name goes to the left of it.
    const sources = new Set(arcs.filter((arc) => arc.builtOn).map((arc) => arc.other));
    for (const item of first) if (this.shown.includes(item)) this.place(item, sources.has(item));
    for (const arc of arcs) this.bend(arc);
    for (const item of this.shown) {
      if (first.has(item)) continue;
      if (attempts++ > ATTEMPTS) break;
      this.place(item);
    }
  }

  // The curve of an arc; the names of bystanders keep off it.
  bend(arc) {
    const { earlier, later } = arc;
    const across = later.x - earlier.x;
    const level = earlier.lane === later.lane && Math.abs(earlier.y - later.y) < ROW * 1.5;
    const lift = level ? Math.min(46, Math.abs(across) * 0.3) : 0;
    const reach = Math.max(24, Math.abs(across) * 0.45);
    const end = later.x - 9; // the arrow stops at the rim of the dot
    const xs = [earlier.x, earlier.x + reach, end - reach, end - 5];
    const ys = [earlier.y, earlier.y - lift, later.y - lift, later.y];
    arc.curve = { xs, ys, end };
    const on = (p, t) => p[0] * (1 - t) ** 3 + 3 * p[1] * t * (1 - t) ** 2 + 3 * p[2] * t * t * (1 - t) + p[3] * t ** 3;
    const points = Math.min(400, Math.ceil((Math.abs(across) + Math.abs(later.y - earlier.y)) / 5));
    for (let i = 0; i <= points; i++) this.labelsTaken.take(on(xs, i / points) - 1, on(ys, i / points) - 1, 2, 2);
  }

  place(item, leftFirst = false) {
    const { labelsTaken, dotsTaken } = this;
    const r = (item.r = 4 + 2.6 * item.weight);
    if (!labelsTaken.free(item.x - r, item.y - r, 2 * r, 2 * r)) return;
    const width = this.textWidth(item);
    const right = { x: item.x + r + 4, y: item.y - 8, width, high: 16 };
    const leftward = { ...right, x: item.x - r - 4 - width };
    const inside = (leftFirst ? [leftward, right] : [right, leftward]).filter((box) => box.x > this.left - 2 && box.x + width < this.width - 2);
    const clear = (box) => labelsTaken.free(box.x - 3, box.y, box.width + 6, box.high);
    const overNothing = (box) => clear(box) && dotsTaken.free(box.x, box.y + 2, box.width, box.high - 4);
    const box = inside.find(overNothing) ?? (this.first.has(item) || this.shown.length >= 60 ? inside.find(clear) : undefined);
    if (!box) return;
    labelsTaken.take(box.x - 3, box.y, box.width + 6, box.high);
    labelsTaken.take(item.x - r - 2, item.y - r, 2 * r + 4, 2 * r);
    item.label = box;
    this.labels.push(item);
  }

  fontOf(item) {
    return `${item.bold ? 600 : 400} ${this.narrow ? 11.5 : 12.5}px ${this.font}`;
  }

  textWidth(item) {
    const name = `${item.bold ? 1 : 0}${this.narrow ? 1 : 0}${item.short}`;
    let width = this.widths.get(name);
    if (width === undefined) {
      this.g.font = this.fontOf(item);
      width = Math.ceil(this.g.measureText(item.short).width);
      this.widths.set(name, width);
    }
    return width;
  }

  // ---- Paint ----------------------------------------------------------------------------------------------------

  paint(passed) {
    const g = this.g;
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.globalAlpha = 1;
    g.fillStyle = this.paper;
    g.fillRect(0, 0, this.width, this.high);
    g.textBaseline = "middle";
    g.save();
    g.beginPath();
    g.rect(this.narrow ? 0 : this.left - 6, 0, this.width, this.bottom + 26);
    g.clip();
    this.paintEras();
    this.paintTicks();
    this.paintLines();
    this.paintArcs();
    const fading = this.paintMilestones(passed);
    g.restore();
    this.paintLanes();
    this.paintMap();
    return fading;
  }

  paintEras() {
    const g = this.g;
    this.eras.forEach((era, i) => {
      const from = Math.max(i ? this.x(era.start) : 0, 0);
      const to = Math.min(i < this.eras.length - 1 ? this.x(era.to) : this.width, this.width);
      if (to <= from) return;
      g.globalAlpha = 1;
      g.fillStyle = this.bands[i % 2];
      g.fillRect(from, 0, to - from, this.bottom);
      g.globalAlpha = 0.16;
      g.fillStyle = this.ink;
      if (i) g.fillRect(from, 0, 1, this.bottom);
      this.paintEraText(era, Math.max(from, this.left - 4) + 8, to - 8);
    });
    g.globalAlpha = 1;
  }

  // Titles stick to the visible part of their band; what does not fit whole is left out (the card has it).
  paintEraText(era, from, to) {
    const g = this.g;
    const room = to - from;
    era.told = false;
    if (room < 48) return;
    const most = this.narrow ? 3 : 4;
    g.fillStyle = this.ink;
    g.font = `600 ${this.narrow ? 11 : 12.5}px ${this.font}`;
    const title = this.wrap(era.title, room);
    if (!title || title.length > most - 1) return;
    g.globalAlpha = 0.92;
    title.forEach((line, i) => g.fillText(line, from, 13 + i * 15));
    g.font = `400 ${this.narrow ? 10.5 : 11.5}px ${this.font}`;
    const story = this.wrap(era.story, Math.min(room, 560));
    if (!story || story.length + title.length > most) return;
    era.told = true;
    g.globalAlpha = 0.72;
    story.forEach((line, i) => g.fillText(line, from, 14 + (title.length + i) * 15));
  }

  wrap(text, room) {
    const lines = [""];
    for (const word of text.split(" ")) {
      const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
      if (this.g.measureText(longer).width <= room) lines[lines.length - 1] = longer;
      else if (this.g.measureText(word).width > room) return null;
      else lines.push(word);
    }
    return lines;
  }

  paintTicks() {
    const g = this.g;
    const perYear = this.wide / (this.view.to - this.view.from);
    const step = tickStep(perYear, this.narrow ? 46 : 64);
    g.textAlign = "center";
    g.fillStyle = this.ink;
    for (let month = Math.ceil((this.view.from * 12) / step) * step; month <= this.view.to * 12; month += step) {
      const x = Math.round(this.x(month / 12));
      const newYear = month % 12 === 0;
      g.globalAlpha = newYear && step < 12 ? 0.2 : 0.09;
      g.fillRect(x, this.top, 1, this.bottom - this.top + 5);
      g.globalAlpha = newYear ? 0.85 : 0.68;
      g.font = `${newYear && step < 12 ? 600 : 400} 11.5px ${this.font}`;
      const text = newYear ? String(month / 12) : MONTHS[month % 12];
      const half = g.measureText(text).width / 2;
      if (x - half >= this.left - 6 && x + half <= this.width) g.fillText(text, x, this.bottom + 15);
    }
    g.textAlign = "left";
    g.globalAlpha = 1;
  }

  paintLines() {
    const g = this.g;
    g.fillStyle = this.ink;
    for (let lane = 0; lane <= TRACKS.length; lane++) {
      g.globalAlpha = lane % TRACKS.length ? 0.13 : 0.3;
      g.fillRect(0, Math.round(this.top + lane * this.laneHigh), this.width, 1);
    }
    g.globalAlpha = 1;
  }

  paintArcs() {
    const g = this.g;
    for (const arc of this.drawnArcs) {
      const { xs, ys, end } = arc.curve;
      g.strokeStyle = g.fillStyle = arc.builtOn ? this.ink : this.led;
      g.globalAlpha = arc.other === this.hovered ? 1 : 0.72;
      g.lineWidth = arc.other === this.hovered ? 2.6 : 1.5;
      g.setLineDash(arc.builtOn ? [] : [7, 3]);
      g.beginPath();
      g.moveTo(xs[0], ys[0]);
      g.bezierCurveTo(xs[1], ys[1], xs[2], ys[2], xs[3], ys[3]);
      g.stroke();
      g.setLineDash([]);
      g.beginPath();
      polygon(g, end + 1, ys[3], end - 7, ys[3] - 4, end - 7, ys[3] + 4);
      g.fill();
    }
    g.globalAlpha = 1;
  }

  paintMilestones(passed) {
    const g = this.g;
    const { hintsDrawn } = this;
    const faint = this.first.size ? 0.3 : 1;
    const quick = this.still.matches ? 1 : passed / 140;
    const perYear = this.wide / (this.view.to - this.view.from);
    const crowded = this.shown.length >= 60 || this.first.size > 1; // dots or arcs may lie under a label
    let fading = false;
    hintsDrawn.clear(this.width, this.high);
    for (const item of this.shown) {
      if (item.label) continue;
      item.fade = 0;
      const cell = hintsDrawn.free(item.x, item.y, 0, 0);
      if (!cell) continue; // thousands on the same pixels are one dot
      hintsDrawn.take(item.x, item.y, 0, 0);
      g.globalAlpha = 0.62 * (faint < 1 ? 0.55 : 1);
      this.stamp(item, 2.5);
    }
    for (let i = this.labels.length - 1; i >= 0; i--) {
      const item = this.labels[i];
      const box = item.label;
      item.fade = Math.min(1, item.fade + quick);
      fading ||= item.fade < 1;
      const strong = this.first.has(item) || item === this.hovered;
      // The date may mean a whole year: the line says how far.
      if ((item.end - item.start) * perYear > 26) {
        g.globalAlpha = 0.3 * (strong ? 1 : faint);
        g.fillStyle = this.colours[item.lane];
        g.fillRect(this.x(item.start), item.y + 8, (item.end - item.start) * perYear, 1.5);
      }
      if (crowded) {
        g.globalAlpha = 0.9;
        g.fillStyle = this.bands[this.bandAt(box.x + box.width / 2)];
        g.fillRect(box.x - 2, box.y + 1, box.width + 4, box.high - 2);
      }
      g.globalAlpha = item.fade * (strong ? 1 : Math.max(faint, 0.38));
      this.stamp(item, item.r);
      g.globalAlpha = item.fade * (strong ? 1 : faint < 1 ? 0.5 : 0.94);
      g.fillStyle = this.ink;
      g.font = this.fontOf(item);
      g.fillText(item.short, box.x, item.y + 0.5);
    }
    const chosen = this.byId.get(this.selected);
    if (chosen) this.ring(chosen, this.led, 2.5);
    if (this.hovered) this.ring(this.hovered, this.colours[this.hovered.lane], 2);
    if (this.focused && this.ringed) this.ring(this.focused, this.accent, 2.5, 4);
    return fading;
  }

  bandAt(x) {
    const time = this.time(x);
    return Math.max(0, this.eras.findIndex((era) => time < era.to)) % 2;
  }

  ring(item, colour, thick, away = 2.5) {
    const r = 4 + 2.6 * item.weight;
    this.g.globalAlpha = 1;
    if (!item.label) this.stamp(item, r);
    this.g.strokeStyle = colour;
    this.g.lineWidth = thick;
    this.g.beginPath();
    this.g.arc(item.x, item.y, r + away + 1, 0, 7);
    this.g.stroke();
  }

  // Dots are stamped from small pictures: one path of many arcs is several times slower.
  stamp(item, radius) {
    const r = Math.round(radius * 2) / 2;
    const name = item.lane * 1000 + r * 10 + (item.runs ? 1 : 0);
    let sprite = this.sprites.get(name);
    if (!sprite) {
      sprite = document.createElement("canvas");
      const half = Math.ceil(r * 1.3) + 2;
      sprite.width = sprite.height = half * 2 * this.ratio;
      sprite.half = half;
      const g = sprite.getContext("2d");
      g.scale(this.ratio, this.ratio);
      trace(g, item.lane, half, half, r);
      g.fillStyle = item.runs || r < 3 ? this.colours[item.lane] : this.paper;
      g.fill();
      g.strokeStyle = r < 3 ? this.paper : this.colours[item.lane];
      g.lineWidth = r < 3 ? 0.5 : 1.6;
      g.stroke();
      this.sprites.set(name, sprite);
    }
    this.g.drawImage(sprite, item.x - sprite.half, item.y - sprite.half, sprite.half * 2, sprite.half * 2);
  }

  paintLanes() {
    const g = this.g;
    TRACKS.forEach((track, lane) => {
      const y = this.narrow ? this.top + lane * this.laneHigh + 11 : this.top + (lane + 0.5) * this.laneHigh;
      const x = this.narrow ? 14 : 9;
      g.globalAlpha = 1;
      g.fillStyle = this.colours[lane];
      trace(g, lane, x, y, this.narrow ? 4 : 5.5);
      g.fill();
      g.font = `600 ${this.narrow ? 11 : 13.5}px ${this.font}`;
      g.fillText(track[0].toUpperCase() + track.slice(1), x + (this.narrow ? 9 : 12), y + 0.5);
      if (this.narrow) return;
      g.fillStyle = this.ink;
      g.globalAlpha = 0.7;
      g.font = `400 11.5px ${this.font}`;
      g.fillText(String(this.lanes[lane].length), x + 12, y + 17);
    });
    g.globalAlpha = 1;
  }

  mapX(time) {
    return this.left + ((time - this.domain.from) / (this.domain.to - this.domain.from)) * this.wide;
  }

  paintMap() {
    const g = this.g;
    const y = this.high - 36;
    this.map ??= this.drawMap();
    g.drawImage(this.map, 0, y, this.width, 36);
    const from = this.mapX(this.view.from);
    const across = Math.max(6, this.mapX(this.view.to) - from);
    g.fillStyle = this.ink;
    g.globalAlpha = 0.09;
    g.fillRect(from, y, across, 24);
    g.globalAlpha = 0.75;
    g.strokeStyle = this.ink;
    g.lineWidth = 1.25;
    g.strokeRect(from, y + 0.5, across, 23);
    g.globalAlpha = 1;
  }

  drawMap() {
    const map = document.createElement("canvas");
    map.width = Math.round(this.width * this.ratio);
    map.height = Math.round(36 * this.ratio);
    const g = map.getContext("2d");
    g.scale(this.ratio, this.ratio);
    g.fillStyle = this.ink;
    g.globalAlpha = 0.05;
    g.fillRect(this.left, 0, this.wide, 24);
    g.globalAlpha = this.items.length > 600 ? 0.35 : 0.8;
    for (const item of this.items) {
      g.fillStyle = this.colours[item.lane];
      g.fillRect(this.mapX(item.time) - 0.75, 2 + item.lane * 5.2, 1.5, 4.4);
    }
    g.globalAlpha = 0.72;
    g.fillStyle = this.ink;
    g.font = `400 10px ${this.font}`;
    g.textBaseline = "middle";
    g.textAlign = "center";
    for (let year = 1950; year < this.domain.to; year += this.narrow ? 20 : 10) g.fillText(String(year), this.mapX(year), 31);
    if (!this.narrow) {
      g.textAlign = "left";
      g.fillText("All years", 3, 13);
    }
    return map;
  }

  // ---- Words around the canvas ------------------------------------------------------------------------------------

  tell() {
    const { from, to } = this.goal;
    const all = to - from > this.domain.to - this.domain.from - 0.01;
    const first = Math.max(from, Math.floor(this.domain.from + 0.8));
    const last = Math.min(to, this.domain.to - 0.8);
    const inside = all ? this.items.length : this.byTime.filter((item) => item.time >= from && item.time <= to).length;
    const noun = this.items.length === 1 ? "milestone" : "milestones";
    const count = all ? `${inside.toLocaleString("en")} ${noun}` : `${inside.toLocaleString("en")} of ${this.items.length.toLocaleString("en")}`;
    const brief = this.narrow && this.drawnArcs.length > 0; // the legend needs the room
    const scale = brief && to - from > 2 ? Infinity : to - from;
    const status = `${yearInWords(first, scale)} to ${yearInWords(last, scale)}${brief ? "" : ` · ${count}`}`;
    if (this.status.textContent !== status) this.status.textContent = status;
    this.root.dataset.from = from.toFixed(3);
    this.root.dataset.to = to.toFixed(3);
    const builtOn = this.drawnArcs.filter((arc) => arc.builtOn).length;
    const ledTo = this.drawnArcs.length - builtOn;
    const legend = `${this.dark} ${this.narrow} ${builtOn} ${ledTo}`;
    if (legend === this.legendShown) return;
    this.legendShown = legend;
    this.legend.replaceChildren();
    const entry = (mark, text, colour = "") => {
      const span = element("span", "", this.legend);
      element("i", mark, span).style.color = colour;
      span.append(text);
    };
    if (builtOn) entry("", this.narrow ? `from ${builtOn}` : `built on ${builtOn}`, this.ink);
    if (ledTo) entry("dash", this.narrow ? `to ${ledTo}` : `led to ${ledTo}`, this.led);
    if (builtOn || ledTo || this.narrow) return;
    entry("dot full", "runs here");
    entry("dot", "to read");
  }

  say(item) {
    const how = this.drawnArcs?.find((arc) => arc.other === item)?.how ?? "";
    this.live.textContent =
      `${item.short}, ${dateInWords(item.date)}, ${item.track}, ${item.kind}. ${item.idea ?? ""} ` +
      `${how} ${item.runs ? "Runs here." : ""} Press Enter to open.`;
  }

  showCard(lines, colour, x, y) {
    const { card } = this;
    card.replaceChildren();
    for (const [className, text] of lines) if (text) element("p", className, card, text);
    card.style.setProperty("--track", colour);
    card.hidden = false;
    const above = this.canvas.offsetTop;
    const left = Math.min(this.width - card.offsetWidth - 8, Math.max(8, x - 24));
    const fits = y + 18 + card.offsetHeight < this.high;
    card.style.left = `${left}px`;
    card.style.top = `${above + (fits ? y + 18 : Math.max(-above, y - card.offsetHeight - 18))}px`;
  }

  cardOf(item) {
    const arc = this.drawnArcs.find((one) => one.other === item);
    const name = this.byId.get(this.selected)?.short;
    const how = arc && (arc.builtOn ? `${name} ${words(arc.as)} this: ${arc.how}` : `${words(arc.as)} ${name}: ${arc.how}`);
    const lines = [
      ["when", `${dateInWords(item.date)} · ${item.track} · ${item.kind}`],
      ["title", item.title || item.short],
      ["idea", item.idea],
      ["how", how],
      ["runs", item.runs ? "▶ Runs here" : ""],
    ];
    this.showCard(lines, this.colours[item.lane], item.x, item.y);
  }

  eraCard(era, x) {
    const years = era.end ? `${era.start} to ${era.end}` : `since ${era.start}`;
    this.showCard([["when", years], ["title", era.title], ["idea", era.story]], this.ink, x, this.top - 14);
  }

  // ---- Pointer --------------------------------------------------------------------------------------------------

  listen() {
    const { canvas, root } = this;
    const place = (event) => ({ x: event.offsetX, y: event.offsetY });
    canvas.addEventListener("pointerdown", (event) => this.press(event, place(event)));
    canvas.addEventListener("pointermove", (event) => this.move(event, place(event)));
    canvas.addEventListener("pointerup", (event) => this.release(event, place(event)));
    canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    // A finger leaves when it is lifted; the card that its tap opened stays until the next touch.
    canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.hover(null));
    canvas.addEventListener("dblclick", (event) => {
      if (event.offsetY < this.bottom && !this.hit(event.offsetX, event.offsetY, 8)) this.zoom(0.4, event.offsetX);
    });
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    root.addEventListener("keydown", (event) => this.key_(event));
    root.addEventListener("focusin", (event) => this.focus(event.target));
    root.addEventListener("focusout", () => this.focus(null));
    this.list.addEventListener("click", (event) => {
      const item = this.byId.get(event.target.dataset?.id);
      if (item) this.choose(item);
    });
    this.sizes = new ResizeObserver(() => this.domain && this.resize());
    this.sizes.observe(canvas);
    // Words measured before the page's own font arrived are measured again.
    this.fontsCame = () => (this.widths.clear(), (this.map = null), this.view && this.changed());
    document.fonts.addEventListener("loadingdone", this.fontsCame);
  }

  press(event, at) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    if (event.pointerType === "touch") this.hover(null);
    const [one, two] = [...this.pointers.values()];
    this.grip = {
      start: at,
      moved: this.pointers.size > 1, // a second finger is never a click
      map: at.y > this.high - 40,
      from: this.view.from,
      to: this.view.to,
      apart: two && Math.max(20, Math.hypot(one.x - two.x, one.y - two.y)),
      anchor: two && this.time((one.x + two.x) / 2),
    };
    if (this.grip.map) this.slideMap(at.x);
  }

  move(event, at) {
    if (!this.pointers.has(event.pointerId)) return this.hover(event.pointerType === "touch" ? null : at);
    this.pointers.set(event.pointerId, at);
    const { grip } = this;
    if (Math.hypot(at.x - grip.start.x, at.y - grip.start.y) > 5) grip.moved = true;
    if (grip.map) return this.slideMap(at.x);
    if (!grip.moved) return;
    this.hover(null);
    const [one, two] = [...this.pointers.values()];
    let span = grip.to - grip.from;
    if (two) {
      span *= grip.apart / Math.max(20, Math.hypot(one.x - two.x, one.y - two.y));
      span = Math.min(this.domain.to - this.domain.from, Math.max(SHORTEST, span));
      const from = grip.anchor - (((one.x + two.x) / 2 - this.left) / this.wide) * span;
      return this.go(from, from + span, false);
    }
    const by = ((at.x - grip.start.x) / this.wide) * span;
    this.canvas.style.cursor = "grabbing";
    this.go(grip.from - by, grip.to - by, false);
  }

  release(event, at) {
    const held = this.pointers.delete(event.pointerId);
    this.canvas.style.cursor = "";
    if (this.pointers.size) {
      // One finger of a pinch was lifted: the other goes on as a drag from here.
      const [rest] = this.pointers.values();
      this.grip = { ...this.grip, start: rest, moved: true, from: this.view.from, to: this.view.to };
      return;
    }
    if (!held || this.grip.moved || this.grip.map) return;
    const touch = event.pointerType === "touch";
    const item = this.hit(at.x, at.y, touch ? 18 : 9);
    if (item) this.choose(item);
    else this.hover(at); // a tap on an era tells its story
  }

  slideMap(x) {
    const half = (this.goal.to - this.goal.from) / 2;
    const time = this.domain.from + ((x - this.left) / this.wide) * (this.domain.to - this.domain.from);
    this.go(time - half, time + half, false);
  }

  wheel(event) {
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const everything = this.goal.to - this.goal.from >= this.domain.to - this.domain.from - 1e-9;
    // Zoomed out as far as it goes, the wheel scrolls the page again: no trap for those passing through.
    if (everything && !event.ctrlKey && (sideways || event.deltaY > 0)) return;
    event.preventDefault();
    this.hover(null);
    if (sideways) return this.pan(((event.deltaX || event.deltaY) * unit) / this.wide, false);
    this.zoom(Math.exp(event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0018)), event.offsetX);
  }

  hover(at) {
    const item = at && at.y < this.bottom ? this.hit(at.x, at.y, 9) : null;
    const era = at && !item && at.y < this.top && at.x > this.left - 6 && this.eras.find((one) => this.time(at.x) < one.to);
    if (item && item !== this.hovered) this.cardOf(item);
    else if (era && !era.told) this.eraCard(era, at.x);
    else if (!item) this.card.hidden = true; // an era whose story stands in its band needs no card
    this.canvas.style.cursor = item ? "pointer" : at && at.y > this.high - 40 ? "ew-resize" : "";
    if (item === this.hovered) return;
    this.hovered = item;
    this.changed();
  }

  // Labels first, then the nearest dot; lanes are sorted by time, so few are looked at.
  hit(x, y, near) {
    for (const item of this.labels) {
      const { label: box } = item;
      if (x >= box.x - 2 && x <= box.x + box.width + 2 && y >= box.y && y <= box.y + box.high) return item;
    }
    const lane = this.lanes[Math.floor((y - this.top) / this.laneHigh)] ?? [];
    let best = null;
    let least = near;
    const end = this.time(x + near);
    for (let i = lowerBound(lane, this.time(x - near), (item) => item.time); i < lane.length && lane[i].time <= end; i++) {
      const away = Math.hypot(lane[i].x - x, lane[i].y - y) - (lane[i].label ? 3 : 0);
      if (away < least) [best, least] = [lane[i], away];
    }
    return best;
  }

  // ---- Keyboard -------------------------------------------------------------------------------------------------

  key_(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onCanvas = event.target === this.canvas;
    const act = {
      "+": () => this.zoom(1 / 1.6),
      "=": () => this.zoom(1 / 1.6),
      "-": () => this.zoom(1.6),
      Home: () => this.showAll(),
      ArrowLeft: () => this.pan(-0.15),
      ArrowRight: () => this.pan(0.15),
      PageUp: () => this.pan(-0.9),
      PageDown: () => this.pan(0.9),
      ArrowUp: () => this.step(-1, onCanvas),
      ArrowDown: () => this.step(1, onCanvas),
      Enter: onCanvas && this.focused ? () => this.choose(this.focused) : null,
    }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation(); // the app shell has shortcuts of its own
    act();
  }

  // On the canvas through all milestones; in the list through its buttons.
  step(by, onCanvas) {
    if (!onCanvas) {
      const buttons = [...this.list.querySelectorAll("button")];
      const at = buttons.indexOf(this.root.getRootNode().activeElement);
      if (at >= 0) buttons[at + by]?.focus({ preventScroll: true });
      return;
    }
    const middle = (this.goal.from + this.goal.to) / 2;
    const from = this.focused ?? this.byId.get(this.selected);
    const at = from ? from.rank + by : lowerBound(this.byTime, middle, (item) => item.time);
    const item = this.byTime[Math.min(this.byTime.length - 1, Math.max(0, at))];
    if (item) this.point(item);
  }

  // The keyboard's place: ringed, brought into the window, said aloud.
  point(item, aloud = true) {
    this.focused = item;
    this.ringed = true;
    const { from, to } = this.goal;
    const span = to - from;
    if (item.time < from + span * 0.04) this.go(item.time - span * 0.3, item.time + span * 0.7, false);
    else if (item.time > to - span * 0.04) this.go(item.time - span * 0.7, item.time + span * 0.3, false);
    if (aloud) this.say(item);
    this.layout();
    this.cardOf(item);
    this.changed();
  }

  focus(target) {
    const item = this.byId.get(target?.dataset?.id);
    if (item) {
      for (const button of this.list.querySelectorAll('[tabindex="0"]')) button.tabIndex = -1;
      target.tabIndex = 0;
      this.point(item, false); // a screen reader reads the button itself
    } else if (this.ringed || target === this.canvas) {
      const before = this.ringed;
      this.ringed = target === this.canvas && Boolean(this.focused) && target.matches(":focus-visible");
      if (before && !this.ringed) this.card.hidden = true;
      this.changed();
    }
  }

  destroy() {
    this.gone = true;
    cancelAnimationFrame(this.frame);
    this.sizes.disconnect();
    document.fonts.removeEventListener("loadingdone", this.fontsCame);
    this.root.remove();
  }
}

const words = (name) => String(name ?? "").replaceAll("_", " ");

// ---- Component -----------------------------------------------------------------------------------------------------

export default function (component) {
  const { parentElement } = component;
  let timeline = living.get(parentElement);
  if (!timeline) living.set(parentElement, (timeline = new Timeline(parentElement)));
  timeline.update(component);
  return () => {
    living.delete(parentElement);
    timeline.destroy();
  };
}
