// Decides where each milestone in the window goes, and which of them have room for their label.

import { arcCurve, createArcs, curvePoints } from "./arcs.js";
import { lowerBound } from "./milestones.js";
import { Occupancy } from "./occupancy.js";
import { laneAt, milestoneY } from "./regions.js";

const LABEL_HEIGHT = 16; // pixels
const MAX_ATTEMPTS = 1500; // labels tried in a frame; the less important stay dots
const MANY = 500; // milestones in the window; from there on a label may cover a dot
const CROWDED = 60; // the same, where nothing else is free

export class LabelLayout {
  constructor(font) {
    this.font = font;
    this.labelCells = new Occupancy(4);
    this.dotCells = new Occupancy(4);
    this.clear();
  }

  clear() {
    this.visible = []; // milestones in the window, the most important first
    this.labelled = []; // those of them that have a label
    this.highlighted = new Set(); // the selected milestone and those it is linked to
    this.arcs = [];
  }

  update({ milestones, selected, links, scale, regions }) {
    this.clear();
    this.milestones = milestones;
    this.scale = scale;
    this.regions = regions;
    this.arcs = createArcs(links, selected, milestones.byId);
    const chosen = milestones.byId.get(selected);
    if (chosen) this.highlighted = new Set([chosen, ...this.arcs.map((arc) => arc.other)]);
    this._placeMilestones();
    this._takeDots();
    this._placeHighlightedLabels();
    this._takeArcs();
    this._placeOtherLabels();
  }

  // Whether dots or arcs may be below a label.
  get isCrowded() {
    return this.visible.length >= CROWDED || this.highlighted.size > 1;
  }

  // The milestone whose label is at a point, or else the nearest one within the distance.
  findAt(x, y, distance) {
    const isInside = ({ label }) =>
      x >= label.x - 2 &&
      x <= label.x + label.width + 2 &&
      y >= label.y &&
      y <= label.y + LABEL_HEIGHT;
    return this.labelled.find(isInside) ?? this._nearest(x, y, distance);
  }

  // Lanes are sorted by time, so only those near the point are compared.
  _nearest(x, y, distance) {
    const lane = this.milestones.byLane[laneAt(this.regions, y)] ?? [];
    const end = this.scale.yearAt(x + distance);
    let nearest = null;
    let i = lowerBound(lane, this.scale.yearAt(x - distance), (item) => item.time);
    for (; i < lane.length && lane[i].time <= end; i++) {
      const away = Math.hypot(lane[i].x - x, lane[i].y - y) - (lane[i].label ? 3 : 0);
      if (away < distance) [nearest, distance] = [lane[i], away];
    }
    return nearest;
  }

  _placeMilestones() {
    const { left, width } = this.regions;
    for (const item of this.milestones.byImportance) {
      item.x = this.scale.xOf(item.position);
      item.y = milestoneY(this.regions, item);
      item.radius = 4 + 2.6 * item.weight;
      item.label = null;
      if (item.x >= left - 8 && item.x <= width + 8) this.visible.push(item);
      else item.opacity = 0;
    }
  }

  // With few dots a label may cover none; with thousands there would be no labels at all.
  _takeDots() {
    const { width, height } = this.regions;
    this.labelCells.clear(width, height);
    this.dotCells.clear(width, height);
    if (this.visible.length >= MANY) return;
    for (const { x, y } of this.visible) this.dotCells.take(x - 3, y - 3, 6, 6);
  }

  // An arc leaves the earlier milestone to the right, so the label goes to the left.
  _placeHighlightedLabels() {
    const isOnLeft = new Set(this.arcs.filter((arc) => arc.isSource).map((arc) => arc.other));
    for (const item of this.highlighted) {
      if (this.visible.includes(item)) this._placeLabel(item, isOnLeft.has(item));
    }
  }

  // The labels of all other milestones keep off the arcs.
  _takeArcs() {
    for (const arc of this.arcs) {
      arc.curve = arcCurve(arc);
      for (const [x, y] of curvePoints(arc.curve)) this.labelCells.take(x - 1, y - 1, 2, 2);
    }
  }

  _placeOtherLabels() {
    const others = this.visible.filter((item) => !this.highlighted.has(item));
    for (const item of others.slice(0, MAX_ATTEMPTS)) this._placeLabel(item);
  }

  _placeLabel(item, leftFirst = false) {
    const { x, y, radius } = item;
    if (!this.labelCells.isFree(x - radius, y - radius, 2 * radius, 2 * radius)) return;
    const box = this._findFreeBox(item, leftFirst);
    if (!box) return;
    this.labelCells.take(box.x - 3, box.y, box.width + 6, LABEL_HEIGHT);
    this.labelCells.take(x - radius - 2, y - radius, 2 * radius + 4, 2 * radius);
    item.label = { ...box, height: LABEL_HEIGHT };
    this.labelled.push(item);
  }

  // At the right of the dot or at its left.
  _findFreeBox(item, leftFirst) {
    const width = this.font.width(item);
    const y = item.y - LABEL_HEIGHT / 2;
    const right = { x: item.x + item.radius + 4, y, width };
    const left = { x: item.x - item.radius - 4 - width, y, width };
    const inPlot = (box) =>
      box.x > this.regions.left - 2 && box.x + width < this.regions.width - 2;
    const boxes = (leftFirst ? [left, right] : [right, left]).filter(inPlot);
    const isFree = (box) => this.labelCells.isFree(box.x - 3, y, width + 6, LABEL_HEIGHT);
    const coversNoDot = (box) => this.dotCells.isFree(box.x, y + 2, width, LABEL_HEIGHT - 4);
    const mayCoverDots = this.highlighted.has(item) || this.visible.length >= CROWDED;
    const best = boxes.find((box) => isFree(box) && coversNoDot(box));
    return best ?? (mayCoverDots ? boxes.find(isFree) : undefined);
  }
}
