// The keyboard on the canvas and in the list of milestones.

import { handleKey } from "../components/keys.js";

const EDGE = 0.04; // of the window; a milestone nearer to its edge is moved further inside

export class KeyboardInput {
  constructor(timeline) {
    this.timeline = timeline;
    this.scale = timeline.scale;
    this.elements = timeline.elements;
    const { root, list } = this.elements;
    root.addEventListener("keydown", (event) => this._press(event));
    root.addEventListener("focusin", (event) => this._focusChanged(event.target));
    root.addEventListener("focusout", () => this._focusChanged(null));
    list.addEventListener("click", (event) => {
      const item = this._itemOf(event.target);
      if (item) timeline.choose(item);
    });
  }

  _itemOf(button) {
    return this.timeline.milestones.byId.get(button?.dataset?.id);
  }

  _press(event) {
    const { scale, timeline } = this;
    const onCanvas = event.target === this.elements.canvas;
    const step = onCanvas ? this._stepOnCanvas : this._stepInList;
    handleKey(event, {
      "+": () => scale.zoom(1 / 1.6),
      "=": () => scale.zoom(1 / 1.6),
      "-": () => scale.zoom(1.6),
      Home: () => scale.showAll(),
      ArrowLeft: () => scale.pan(-0.15),
      ArrowRight: () => scale.pan(0.15),
      PageUp: () => scale.pan(-0.9),
      PageDown: () => scale.pan(0.9),
      ArrowUp: () => step.call(this, -1),
      ArrowDown: () => step.call(this, 1),
      Enter: onCanvas && timeline.focused && (() => timeline.choose(timeline.focused)),
    });
  }

  _stepInList(by) {
    const buttons = [...this.elements.list.querySelectorAll("button")];
    const index = buttons.indexOf(this.elements.root.getRootNode().activeElement);
    if (index >= 0) buttons[index + by]?.focus({ preventScroll: true });
  }

  // Begins at the selected milestone, or else in the middle of the window.
  _stepOnCanvas(by) {
    const { milestones, focused, selected } = this.timeline;
    const { from, to } = this.scale.targetYears;
    const last = focused ?? selected;
    const rank = last ? last.rank + by : milestones.rankAfter((from + to) / 2);
    const item = milestones.atRank(rank);
    if (!item) return;
    this._focusItem(item);
    this.timeline.announce(item);
  }

  _focusItem(item) {
    const { timeline } = this;
    timeline.focused = item;
    timeline.isRingShown = true;
    this._moveIntoWindow(item.position);
    timeline.updateLayout();
    timeline.showMilestoneCard(item);
    timeline.requestFrame();
  }

  _moveIntoWindow(position) {
    const { from, to } = this.scale.target;
    const span = this.scale.targetSpan;
    const show = (before) => {
      this.scale.moveTo(position - span * before, position + span * (1 - before), false);
    };
    if (position < from + span * EDGE) show(0.3);
    else if (position > to - span * EDGE) show(0.7);
  }

  // A focused button is read by the screen reader itself; the ring is drawn on the canvas.
  _focusChanged(target) {
    const { timeline, elements } = this;
    const item = this._itemOf(target);
    if (item) {
      elements.makeTabStop(target);
      this._focusItem(item);
      return;
    }
    const onCanvas = target === elements.canvas;
    const wasShown = timeline.isRingShown;
    if (!wasShown && !onCanvas) return;
    const isVisible = onCanvas && target.matches(":focus-visible");
    timeline.isRingShown = isVisible && Boolean(timeline.focused);
    if (wasShown && !timeline.isRingShown) elements.card.hide();
    timeline.requestFrame();
  }
}
