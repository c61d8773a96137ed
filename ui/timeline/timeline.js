// The timeline on one canvas. In a frame, the layout decides where everything goes and the drawing
// draws it; a frame comes only when something has changed.

import { mount } from "../components/mount.js";
import { createArcs } from "./arcs.js";
import {
  describeWindow,
  eraCard,
  legendEntries,
  milestoneCard,
  spokenMilestone,
} from "./descriptions.js";
import { Drawing } from "./drawing.js";
import { Elements } from "./elements.js";
import { KeyboardInput } from "./keyboard.js";
import { LabelFont } from "./label_font.js";
import { LabelLayout } from "./label_layout.js";
import { Milestones } from "./milestones.js";
import { PointerInput } from "./pointer.js";
import { computeRegions } from "./regions.js";
import { assignLevels } from "./rows.js";
import { Selection } from "./selection.js";
import { readTheme } from "./theme.js";
import { TimeScale } from "./time_scale.js";

const FIRST_YEAR = 1936; // of the first era
const MARGIN = 0.8; // years before the first milestone and after the last
const FOUND_MARGIN = 1.5; // years around what a search or a filter has found
const SCALE_BUTTON = "Even years";
const SCALE_BUTTON_NARROW = "Even";
const SCALE_TITLE =
  "Give every year the same width: without it, years with more milestones are wider";

// Streamlit makes the element anew when a page is left and entered; the visitor's place stays.
const savedViews = new Map(); // key of the component -> { from, to, isEven, selected }

class Timeline {
  constructor(parent) {
    this.scale = new TimeScale(() => {
      this.saveView();
      this.requestFrame();
    });
    this.elements = new Elements(parent, [
      ["−", "Zoom out", () => this.scale.zoom(1.8)],
      ["+", "Zoom in", () => this.scale.zoom(1 / 1.8)],
      ["All", "Show everything", () => this.scale.showAll()],
      [SCALE_BUTTON, SCALE_TITLE, () => this._toggleScale()],
    ]);
    const context = this.elements.canvas.getContext("2d");
    this.drawing = new Drawing(context);
    this.labelFont = new LabelFont(context);
    this.layout = new LabelLayout(this.labelFont);
    this.selection = new Selection();
    this.hovered = this.focused = null; // milestones
    this.isRingShown = false; // around the focused one
    this.lastFrame = performance.now();
    new PointerInput(this);
    new KeyboardInput(this);
    this._listen();
  }

  _listen() {
    this.resizeObserver = new ResizeObserver(() => this.scale.domain && this._resize());
    this.resizeObserver.observe(this.elements.canvas);
    this.onFontsLoaded = () => {
      this.labelFont.forgetWidths();
      this.drawing.clear();
      this.requestFrame();
    };
    document.fonts.addEventListener("loadingdone", this.onFontsLoaded);
  }

  // ---- Data from Python ----

  update({ data, setTriggerValue }) {
    this.sendClick = (id) => setTriggerValue("clicked", id);
    this.elements.root.style.height = `${data.height}px`;
    const signature = JSON.stringify(data.rows);
    if (signature !== this.signature) {
      this.signature = signature;
      this._load(data);
    }
    this.links = data.links;
    this._updateTheme();
    const isFirst = this.key === undefined;
    this.key = data.key;
    if (isFirst) this._restoreView(data);
    else this._follow(data);
    this._resize();
  }

  _load({ fields, rows, eras, span, positions }) {
    const from = Math.min(FIRST_YEAR, span[0]) - MARGIN;
    this.scale.domain = { from, to: span[1] + MARGIN };
    this.positions = positions;
    this.milestones = new Milestones(fields, rows);
    this._applyScale();
    this.eras = eras.map((era, i) => {
      const end = eras[i + 1]?.start ?? null;
      return { ...era, end, to: end ?? this.scale.domain.to };
    });
    this.drawing.clear();
    this.hovered = null;
    this.focused = this.milestones.byId.get(this.focused?.id) ?? null;
    this.elements.fillList(this.milestones);
  }

  // Even years, or years that are as wide as what happened in them.
  _applyScale() {
    this.scale.setKnots(this.isEven ? [] : this.positions);
    this.milestones.place((year) => this.scale.position(year));
    this.rowCount = null; // levels are assigned anew, when the size is known
  }

  _setEven(isEven) {
    this.isEven = isEven;
    this.elements.buttons.get(SCALE_BUTTON).setAttribute("aria-pressed", String(isEven));
    this._applyScale();
  }

  _toggleScale() {
    this._setEven(!this.isEven);
    this.drawing.clear();
    this.saveView();
    this._resize();
  }

  _updateTheme() {
    const theme = readTheme(this.elements.root, this.drawing.context);
    if (JSON.stringify(theme) === JSON.stringify(this.theme)) return;
    this.theme = theme;
    this.drawing.clear();
  }

  // ---- Selection ----

  get selected() {
    return this.milestones.byId.get(this.selection.id);
  }

  // Moves to what was selected elsewhere, or else to what a search has found.
  _follow({ selected, found }) {
    const isNews = this.selection.receive(selected);
    const isOtherSearch = JSON.stringify(found) !== JSON.stringify(this.found);
    this.found = found;
    if (isNews && selected) this._showMilestone(selected);
    else if (isOtherSearch) this._showFound();
    this.saveView();
  }

  _showFound() {
    if (!this.found) return this.scale.showAll();
    const [from, to] = this.found;
    this.scale.showYears(from - FOUND_MARGIN, to + FOUND_MARGIN);
  }

  choose(item) {
    this.selection.choose(item.id);
    this.saveView();
    this.sendClick(item.id);
    this.requestFrame();
  }

  // Moves to a milestone, with those that it is linked to where they aren't too far away.
  _showMilestone(id, animated = true) {
    const item = this.milestones.byId.get(id);
    if (!item) return;
    const arcs = createArcs(this.links, id, this.milestones.byId);
    const distances = arcs.map(({ other }) => Math.abs(other.time - item.time) * 1.2);
    const half = Math.min(10, Math.max(2.5, ...distances));
    this.scale.showYears(item.time - half, item.time + half, animated);
  }

  // ---- The view ----

  saveView() {
    const { found, isEven, scale, selection } = this;
    savedViews.set(this.key, { ...scale.targetYears, found, isEven, selected: selection.id });
  }

  _restoreView({ selected, found }) {
    const saved = savedViews.get(this.key);
    const { from, to } = saved ?? this.scale.domain;
    this._setEven(saved?.isEven ?? false);
    this.scale.reset(from, to);
    this.selection.receive(selected);
    this.found = saved?.found ?? null;
    if (selected && saved?.selected !== selected) this._showMilestone(selected, false);
    else this._follow({ selected, found });
  }

  _resize() {
    const { canvas } = this.elements;
    const { width, height } = canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.pixelRatio = window.devicePixelRatio || 1;
    const counts = this.milestones.byLane.map((lane) => lane.length);
    this.regions = computeRegions(width, height, counts);
    this.elements.buttons.get(SCALE_BUTTON).textContent = this.regions.narrow
      ? SCALE_BUTTON_NARROW
      : SCALE_BUTTON;
    this.scale.left = this.regions.left;
    this.scale.width = this.regions.plotWidth;
    this.labelFont.set(this.theme.font, this.regions.narrow ? 11.5 : 12.5);
    if (this.regions.rows !== this.rowCount) {
      this.rowCount = this.regions.rows;
      assignLevels(this.milestones.byImportance, this.rowCount);
    }
    const canvasWidth = Math.round(width * this.pixelRatio);
    const canvasHeight = Math.round(height * this.pixelRatio);
    if (canvas.width === canvasWidth && canvas.height === canvasHeight) return this.requestFrame();
    [canvas.width, canvas.height] = [canvasWidth, canvasHeight]; // wipes it
    this.drawing.clear();
    this._drawNow();
  }

  // ---- Frames ----

  requestFrame() {
    if (this.frame || this.isDestroyed) return;
    this.lastFrame = performance.now();
    this.frame = requestAnimationFrame((now) => this._drawFrame(now));
  }

  // In this frame: a canvas that was wiped would be seen until the next one.
  _drawNow() {
    cancelAnimationFrame(this.frame);
    this._drawFrame(performance.now());
  }

  _drawFrame(now) {
    this.frame = 0;
    if (!this.regions || !this.scale.view) return;
    const elapsed = Math.min(50, Math.max(8, now - this.lastFrame));
    const isMoving = this.scale.advance(elapsed);
    this.updateLayout();
    const isFading = this.drawing.draw(this._scene(), elapsed);
    this._describe();
    if (!isMoving && !isFading) return;
    this.lastFrame = now;
    this.frame = requestAnimationFrame((later) => this._drawFrame(later));
  }

  updateLayout() {
    const { milestones, links, scale, regions } = this;
    this.layout.update({ milestones, selected: this.selection.id, links, scale, regions });
  }

  _scene() {
    const { milestones, layout, eras, scale, regions, theme, pixelRatio } = this;
    const { selected, hovered } = this;
    const focused = this.isRingShown ? this.focused : null;
    return {
      ...{ milestones, layout, eras, scale, regions, theme, pixelRatio },
      ...{ selected, hovered, focused },
    };
  }

  // ---- Words ----

  _describe() {
    const { elements, scale, layout, theme } = this;
    const { narrow } = this.regions;
    const isBrief = narrow && layout.arcs.length > 0; // the legend needs the room
    elements.setStatus(describeWindow(this, MARGIN, narrow, isBrief));
    elements.setLegend(legendEntries(layout.arcs, theme, narrow));
    elements.root.dataset.from = scale.targetYears.from.toFixed(3);
    elements.root.dataset.to = scale.targetYears.to.toFixed(3);
  }

  _arcTo(item) {
    return this.layout.arcs.find((arc) => arc.other === item);
  }

  announce(item) {
    this.elements.live.textContent = spokenMilestone(item, this._arcTo(item));
  }

  showMilestoneCard(item) {
    const lines = milestoneCard(item, this._arcTo(item), this.selected?.short);
    this.elements.showCard(lines, this.theme.tracks[item.lane], item.x, item.y);
  }

  showEraCard(era, x) {
    this.elements.showCard(eraCard(era), this.theme.ink, x, this.regions.top - 14);
  }

  destroy() {
    this.isDestroyed = true;
    cancelAnimationFrame(this.frame);
    this.resizeObserver.disconnect();
    document.fonts.removeEventListener("loadingdone", this.onFontsLoaded);
    this.elements.root.remove();
  }
}

export default mount(Timeline);
