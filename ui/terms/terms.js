// Equations and the code that computes them. Pointing at a term, at the words that explain it or at
// its code lights all three; a click, a tap or the Enter key keeps them lit.

import { addElement } from "../components/dom.js";
import { handleKey } from "../components/keys.js";
import { mount } from "../components/mount.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const HINT = "Point at a term or at its code, or tap it: what belongs together lights.";
const TERM_CLASS = /^term-(\d+)$/;

// Adds MathML from nested lists; calls `found` with each element that is a term, and its number.
function addMath(parent, [tag, attributes, text, children], found) {
  const added = document.createElementNS(MATHML, tag);
  for (const [name, value] of Object.entries(attributes)) added.setAttribute(name, value);
  if (text) added.append(text);
  for (const child of children) addMath(added, child, found);
  const term = TERM_CLASS.exec(attributes.class ?? "");
  if (term) found(added, Number(term[1]));
  parent.append(added);
}

class Terms {
  constructor(parent) {
    this.parent = parent;
    // What scrolls sideways has to be reached by the keyboard, too.
    this.resizes = new ResizeObserver((entries) => {
      for (const { target } of entries) {
        target.removeAttribute("tabindex");
        if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      }
    });
  }

  update({ data }) {
    const drawn = JSON.stringify(data);
    if (drawn === this.drawn) return; // the page was run again: what is lit stays
    this.drawn = drawn;
    this.marks = new Map(); // element -> the terms it belongs to, and those that it lights
    this.kept = [];
    this.root?.remove();
    this.root = addElement(this.parent, "div", data.stacked ? "terms stacked" : "terms");
    const columns = addElement(this.root, "div", "columns");
    const explanation = addElement(columns, "div", "explanation");
    for (const equation of data.equations) this.addEquation(explanation, equation);
    this.addMeanings(explanation, data);
    this.addAbout(explanation, data.about);
    this.addCode(columns, data.lines);
    this.listen();
  }

  addEquation(parent, equation) {
    const box = addElement(parent, "div", "equation");
    addMath(box, equation, (element, term) => {
      element.classList.add("mark");
      this.marks.set(element, { of: [term], lights: [term] });
    });
    this.resizes.observe(box);
  }

  // The terms in words: also the way of the keyboard and of screen readers to the equation.
  addMeanings(parent, data) {
    const list = addElement(parent, "ul", "meanings");
    list.setAttribute("aria-label", "Terms, and the code that computes them");
    data.terms.forEach(({ math, means, code }, term) => {
      const button = addElement(addElement(list, "li"), "button", "meaning");
      button.type = "button";
      button.id = `term-${term}`;
      const line = data.lines.findIndex(({ terms }) => terms.includes(term));
      button.setAttribute("aria-describedby", `line-${line}`);
      addMath(button, math, () => {});
      addElement(button, "span", "", means);
      addElement(button, "code", "", code); // seen where the code itself is far below
      this.marks.set(button, { of: [term], lights: [term] });
    });
    addElement(parent, "p", "hint", HINT);
  }

  addAbout(parent, { lines, references, paragraphs }) {
    const head = addElement(parent, "p", "references");
    addElement(head, "small", "", lines);
    for (const reference of references) addElement(head, "span", "", reference);
    for (const paragraph of paragraphs) {
      const element = addElement(parent, "p");
      const parts = paragraph.split("`"); // every second one is code
      parts.forEach((text, i) => addElement(element, i % 2 ? "code" : "span", "", text));
    }
  }

  addCode(parent, lines) {
    const code = addElement(addElement(parent, "pre"), "code");
    lines.forEach(({ terms, pieces }, number) => {
      const line = addElement(code, "span", "line");
      if (terms.length) this.makeButton(line, number, terms);
      for (const [text, kind, of, lights] of pieces) {
        const piece = addElement(line, "span", kind, text);
        if (!of.length) continue;
        piece.classList.add("mark");
        this.marks.set(piece, { of, lights });
      }
      line.append("\n");
    });
  }

  makeButton(line, number, terms) {
    line.id = `line-${number}`;
    line.tabIndex = 0;
    line.setAttribute("role", "button");
    line.setAttribute("aria-describedby", terms.map((term) => `term-${term}`).join(" "));
    this.marks.set(line, { of: terms, lights: terms });
  }

  listen() {
    const { root } = this;
    const light = (event) => this.light(this.termsAt(event.target));
    const lightKept = () => this.light([]);
    root.addEventListener("pointerover", light);
    root.addEventListener("pointerleave", lightKept);
    root.addEventListener("focusin", light);
    root.addEventListener("focusout", lightKept);
    root.addEventListener("click", ({ target }) => this.keep(target));
    root.addEventListener("keydown", (event) => {
      if (!event.target.classList.contains("line")) return; // the browser clicks real buttons
      const keep = () => this.keep(event.target);
      handleKey(event, { Enter: keep, " ": keep });
    });
    this.light([]);
  }

  // The terms that pointing at the element means: of the innermost mark around it.
  termsAt(element) {
    while (element !== this.root && !this.marks.has(element)) element = element.parentNode;
    return this.marks.get(element)?.lights ?? [];
  }

  // Where nothing is pointed at, what was kept is lit.
  light(terms) {
    const shown = terms.length ? terms : this.kept;
    for (const [element, { of }] of this.marks) {
      element.classList.toggle("lit", of.some((term) => shown.includes(term)));
      const isKept = of.some((term) => this.kept.includes(term));
      if (element.id) element.setAttribute("aria-pressed", isKept); // what has one is a button
    }
  }

  // Keeps the terms at the element lit, or no longer, and brings the other side into view.
  keep(element) {
    const terms = this.termsAt(element);
    const isKept = terms.join() === this.kept.join();
    this.kept = isKept ? [] : terms;
    this.light(this.kept);
    if (!this.kept.length) return;
    const line = this.root.querySelector(".line.lit");
    const meaning = this.root.querySelector(".meaning.lit");
    (element.closest("pre") ? meaning : line).scrollIntoView({ block: "nearest" });
  }

  destroy() {
    this.resizes.disconnect();
    this.root?.remove();
  }
}

export default mount(Terms);
