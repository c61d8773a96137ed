// The card beside what is pointed at. Screen readers hear the same from a live region.

import { addElement } from "./dom.js";

export class Card {
  constructor(parent) {
    this.element = addElement(parent, "div", "card");
    this.element.hidden = true;
    this.element.setAttribute("aria-hidden", "true");
  }

  // Lines are pairs of a class name and a text; those without a text are left out.
  fill(lines) {
    this.element.replaceChildren();
    for (const [className, text] of lines) {
      if (text) addElement(this.element, "p", className, text);
    }
    this.element.hidden = false;
  }

  // As near to `left` as the card fits in a parent of that width.
  moveTo(left, top, parentWidth) {
    const rightmost = parentWidth - this.element.offsetWidth - 8;
    this.element.style.left = `${Math.max(8, Math.min(rightmost, left))}px`;
    this.element.style.top = `${top}px`;
  }

  hide() {
    this.element.hidden = true;
  }
}
