// The font of the labels, and how wide a text is in it.

export class LabelFont {
  constructor(context) {
    this.context = context;
    this.widths = new Map(); // font and text -> pixels
  }

  set(family, size) {
    if (family !== this.family) this.forgetWidths();
    this.family = family;
    this.size = size;
  }

  // To be called when a font has arrived, too: until then another one was measured.
  forgetWidths() {
    this.widths.clear();
  }

  css({ bold }) {
    return `${bold ? 600 : 400} ${this.size}px ${this.family}`;
  }

  width(item) {
    const font = this.css(item);
    const key = `${font} ${item.short}`;
    if (!this.widths.has(key)) {
      this.context.font = font;
      this.widths.set(key, Math.ceil(this.context.measureText(item.short).width));
    }
    return this.widths.get(key);
  }
}
