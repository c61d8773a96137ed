// Mouse and fingers on the canvas: pointing, clicking, dragging, pinching and the wheel.

import { isOnOverview } from "./regions.js";

const CLICK_DISTANCE = 5; // pixels; farther than that is a drag
const MOUSE_REACH = 9; // from a dot
const FINGER_REACH = 18;
const MIN_PINCH = 20;

export class PointerInput {
  constructor(timeline) {
    this.timeline = timeline;
    this.scale = timeline.scale;
    this.canvas = timeline.elements.canvas;
    this.pointers = new Map(); // id -> position of those that are down
    this.drag = null;
    this._listen();
  }

  _listen() {
    const { canvas } = this;
    const listen = (type, handle) => {
      canvas.addEventListener(type, (event) => {
        handle.call(this, event, { x: event.offsetX, y: event.offsetY });
      });
    };
    listen("pointerdown", this._press);
    listen("pointermove", this._move);
    listen("pointerup", this._release);
    listen("pointercancel", (event) => this.pointers.delete(event.pointerId));
    listen("pointerleave", this._leave);
    listen("dblclick", this._doubleClick);
    canvas.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
  }

  _press(event, at) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, at);
    if (event.pointerType === "touch") this._hover(null);
    this.drag = {
      start: at,
      isClick: this.pointers.size === 1, // until it moves
      onOverview: isOnOverview(this.timeline.regions, at.y),
      ...this.scale.view,
      ...this._pinch(),
    };
    if (this.drag.onOverview) this._centreOn(at.x);
  }

  // How far apart two fingers are, and the position between them; nothing for one finger.
  _pinch() {
    const [one, two] = this.pointers.values();
    if (!two) return {};
    const middle = (one.x + two.x) / 2;
    const distance = Math.max(MIN_PINCH, Math.hypot(one.x - two.x, one.y - two.y));
    return { distance, middle, position: this.scale.positionAt(middle) };
  }

  _move(event, at) {
    const { drag, pointers } = this;
    if (!pointers.has(event.pointerId)) {
      return this._hover(event.pointerType === "touch" ? null : at);
    }
    pointers.set(event.pointerId, at);
    const distance = Math.hypot(at.x - drag.start.x, at.y - drag.start.y);
    if (distance > CLICK_DISTANCE) drag.isClick = false;
    if (drag.onOverview) return this._centreOn(at.x);
    if (drag.isClick) return;
    this._hover(null);
    if (pointers.size > 1) this._zoomByPinch();
    else this._panTo(at.x);
  }

  _zoomByPinch() {
    const { drag, scale } = this;
    const { distance, middle } = this._pinch();
    const span = scale.clampSpan(((drag.to - drag.from) * drag.distance) / distance);
    const from = drag.position - ((middle - scale.left) / scale.width) * span;
    scale.moveTo(from, from + span, false);
  }

  _panTo(x) {
    const { drag, scale } = this;
    const by = ((x - drag.start.x) / scale.width) * (drag.to - drag.from);
    this.canvas.style.cursor = "grabbing";
    scale.moveTo(drag.from - by, drag.to - by, false);
  }

  _release(event, at) {
    const wasDown = this.pointers.delete(event.pointerId);
    this.canvas.style.cursor = "";
    if (this.pointers.size) {
      // One finger of a pinch was lifted: from here on, the other one drags.
      const [start] = this.pointers.values();
      this.drag = { ...this.drag, ...this.scale.view, start, isClick: false };
      return;
    }
    if (!wasDown || !this.drag.isClick || this.drag.onOverview) return;
    const reach = event.pointerType === "touch" ? FINGER_REACH : MOUSE_REACH;
    const item = this.timeline.layout.findAt(at.x, at.y, reach);
    if (item) this.timeline.choose(item);
    else this._hover(at); // a tap on an era shows its card
  }

  // A finger leaves when it is lifted; the card that its tap opened stays until the next touch.
  _leave(event) {
    if (event.pointerType === "mouse") this._hover(null);
  }

  _doubleClick(event, at) {
    const { regions, layout } = this.timeline;
    if (at.y < regions.bottom && !layout.findAt(at.x, at.y, 8)) this.scale.zoom(0.4, at.x);
  }

  _centreOn(x) {
    const half = this.scale.targetSpan / 2;
    const middle = this.scale.overviewPosition(x);
    this.scale.moveTo(middle - half, middle + half, false);
  }

  _wheel(event) {
    const { scale } = this;
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
    const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    // When everything is shown, the wheel scrolls the page: nobody gets stuck on the timeline.
    if (scale.showsAll && !event.ctrlKey && (isSideways || event.deltaY > 0)) return;
    event.preventDefault();
    this._hover(null);
    if (isSideways) {
      scale.pan(((event.deltaX || event.deltaY) * unit) / scale.width, false);
    } else {
      const speed = event.ctrlKey ? 0.01 : 0.0018;
      scale.zoom(Math.exp(event.deltaY * unit * speed), event.offsetX);
    }
  }

  _hover(at) {
    const { timeline } = this;
    const { regions, layout } = timeline;
    const item = at && at.y < regions.bottom ? layout.findAt(at.x, at.y, MOUSE_REACH) : null;
    const era = at && !item && this._eraAt(at);
    const isNew = item !== timeline.hovered;
    if (item && isNew) timeline.showMilestoneCard(item);
    else if (era && !era.isStoryDrawn) timeline.showEraCard(era, at.x);
    else if (!item) timeline.elements.card.hide();
    const onOverview = at && isOnOverview(regions, at.y);
    this.canvas.style.cursor = item ? "pointer" : onOverview ? "ew-resize" : "";
    if (!isNew) return;
    timeline.hovered = item;
    timeline.requestFrame();
  }

  _eraAt({ x, y }) {
    const { regions, eras } = this.timeline;
    if (y >= regions.top || x <= regions.left - 6) return undefined;
    return eras.find((era) => this.scale.yearAt(x) < era.to);
  }
}
