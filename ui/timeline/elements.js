// The elements of the timeline: a toolbar, the canvas, and a list of the milestones for the
// keyboard and for screen readers.

import { Card } from "../components/card.js";
import { addElement, addLiveRegion } from "../components/dom.js";
import { formatDate } from "./dates.js";

const MAX_LISTED = 600; // milestones; of more, the most important ones
const CANVAS_LABEL =
  "Timeline of milestones. Up and down arrows step through them, Enter opens one, " +
  "left and right move in time, plus and minus zoom, Home shows everything. " +
  "The same milestones follow as a list.";

export class Elements {
  // Buttons are [text, name, action].
  constructor(parent, buttons) {
    this.root = addElement(parent, "div", "timeline");
    const toolbar = addElement(this.root, "div", "toolbar");
    this.status = addElement(toolbar, "div", "status");
    this.legend = addElement(toolbar, "div", "legend");
    this._addButtons(addElement(toolbar, "div", "buttons"), buttons);
    this.canvas = addElement(this.root, "canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", CANVAS_LABEL);
    this.card = new Card(this.root);
    this.live = addLiveRegion(this.root);
    this.list = addElement(this.root, "ul", "visually-hidden");
    this.list.setAttribute("aria-label", "Milestones by date");
  }

  _addButtons(parent, buttons) {
    this.buttons = new Map(); // text -> button
    for (const [text, name, action] of buttons) {
      const button = addElement(parent, "button", "", text);
      button.type = "button";
      button.title = name;
      button.setAttribute("aria-label", name);
      button.onclick = action;
      this.buttons.set(text, button);
    }
  }

  // One button for Tab; the arrow keys move inside the list.
  fillList(milestones) {
    const listed = new Set(milestones.byImportance.slice(0, MAX_LISTED));
    this.list.replaceChildren();
    for (const item of milestones.byTime.filter((one) => listed.has(one))) {
      const text = `${item.short}, ${formatDate(item.date)}`;
      const button = addElement(addElement(this.list, "li"), "button", "", text);
      button.type = "button";
      button.dataset.id = item.id;
      button.tabIndex = -1;
    }
    if (this.list.firstChild) this.list.firstChild.firstChild.tabIndex = 0;
  }

  makeTabStop(button) {
    for (const other of this.list.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
  }

  // Called in each frame, so it writes only what has changed.
  setStatus(text) {
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  // Entries are [class of the mark, text, colour].
  setLegend(entries) {
    const signature = JSON.stringify(entries);
    if (signature === this.legendSignature) return;
    this.legendSignature = signature;
    this.legend.replaceChildren();
    for (const [className, text, colour] of entries) {
      const entry = addElement(this.legend, "span");
      addElement(entry, "i", className).style.color = colour;
      entry.append(text);
    }
  }

  // Below a point of the canvas, or above it where there is no room.
  showCard(lines, colour, x, y) {
    const { card, canvas } = this;
    card.element.style.setProperty("--track", colour);
    card.fill(lines);
    const height = card.element.offsetHeight;
    const fits = y + 18 + height < canvas.clientHeight;
    const top = canvas.offsetTop + (fits ? y + 18 : y - height - 18);
    card.moveTo(x - 24, Math.max(0, top), canvas.clientWidth);
  }
}
