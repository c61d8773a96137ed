// The search: every word has to begin a word of the milestone's names, people, tags or idea.

"use strict";

// In the order of what a match in them is worth.
const SEARCHED_FIELDS = [
  [["short"], 8],
  [["title"], 5],
  [["people", "tags"], 3],
  [["track", "kind", "date"], 2],
  [["idea"], 1],
];

class Search {
  constructor(items) {
    this.entries = items.map((item) => ({
      item,
      fields: SEARCHED_FIELDS.map(([names, worth]) => ({
        worth,
        words: names.flatMap((name) => Search.words(item[name])),
      })),
      name: Search.words(item.short).join(" "),
    }));
  }

  // The words without accents and capitals; one with a hyphen also as if it had none.
  static words(text) {
    const plain = String(text ?? "").normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
    const words = plain.match(/[\p{L}\p{N}+#]+/gu) ?? [];
    const joined = (plain.match(/[\p{L}\p{N}]+(?:-[\p{L}\p{N}]+)+/gu) ?? [])
      .map((word) => word.replaceAll("-", ""));
    return [...words, ...joined];
  }

  // The milestones that match, the best first; all of them for a text without words.
  find(text) {
    const words = Search.words(text.replaceAll("-", " "));
    const found = [];
    for (const entry of this.entries) {
      const worths = words.map((word) => this._worth(entry, word));
      if (worths.includes(0)) continue;
      const isName = entry.name === words.join(" ");
      const sum = worths.reduce((total, worth) => total + worth, isName ? 20 : 0);
      found.push([sum + entry.item.weight, entry.item]);
    }
    return found.sort((a, b) => b[0] - a[0]).map(([, item]) => item);
  }

  _worth({ fields }, word) {
    let best = 0;
    for (const { words, worth } of fields) {
      if (words.includes(word)) best = Math.max(best, worth + 0.5);
      else if (words.some((one) => one.startsWith(word))) best = Math.max(best, worth);
    }
    return best;
  }
}
