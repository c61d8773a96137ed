// The lineage of any milestone: its pictures are in a file of their own, which is loaded when it is
// chosen. What was chosen is in the address: lineage.html?focus=dropout&show=before&depth=2.

"use strict";

addEventListener("DOMContentLoaded", () => {
  const page = new LineagePage();
  addEventListener("hashchange", () => page.readAddress());
  page.readAddress();
});

class LineagePage {
  constructor() {
    const { fields, rows } = kbSite.timeline;
    const items = rows.map((row) => Object.fromEntries(fields.map((f, i) => [f, row[i]])));
    this.items = new Map(items.map((item) => [item.id, item]));
    this.form = document.getElementById("controls");
    this.pictures = new Map(); // id -> what its file has
    this.draw = kbSite.mount(document.getElementById("lineage"), "lineage", (event, id) => {
      if (event === "opened") this.setAddress({ focus: id });
      else this.select(id);
    });
    this.form.addEventListener("change", () => this.setAddress({}));
    kbSite.receive = (id, pictures) => {
      this.pictures.set(id, pictures);
      if (id === this.chosen.focus) this.show();
    };
  }

  // After # once something was chosen here: a page that is opened from a folder may not change the
  // rest of its address.
  readAddress() {
    const params = new URLSearchParams(location.hash.slice(1) || location.search);
    const start = this.form.dataset.start;
    const { focus, show, depth } = this.form.elements;
    const asked = params.get("focus") ?? start;
    if (!this.items.has(asked)) {
      this.say(`The timeline has no milestone with the id ${asked}. Here is another:`);
    }
    const known = this.items.has(asked) ? asked : start;
    focus.value = known;
    show.value = params.get("show") ?? (params.has("focus") ? "both" : "before");
    if (!show.value) show.value = "both";
    depth.value = params.get("depth") ?? "2";
    if (!depth.value) depth.value = "2";
    this.chosen = { focus: known, show: show.value, depth: depth.value };
    if (this.pictures.has(known)) this.show();
    else this.load(known);
  }

  setAddress(change) {
    const values = Object.fromEntries(new FormData(this.form));
    location.hash = new URLSearchParams({ ...values, ...change });
  }

  load(id) {
    const script = document.createElement("script");
    script.src = `${kbSite.root}data/lineage/${encodeURIComponent(id)}.js`;
    script.onerror = () => this.say(`${script.src} can't be read: a file of the site is missing.`);
    document.head.append(script);
  }

  say(text) {
    document.getElementById("counts").textContent = text;
  }

  show() {
    const { focus, show, depth } = this.chosen;
    const { choices, pictures } = this.pictures.get(focus);
    const picture = pictures[choices[show][depth]];
    const { named, links, ...common } = kbSite.lineage;
    const nodes = picture.nodes.map(([id, x, y, width, hidden, role]) => {
      const { short, title, track } = this.items.get(id);
      const [label, when] = named[id];
      return { ...{ id, x, y, width, hidden, role, label, when }, ...{ short, title, track } };
    });
    const shown = new Set(nodes.map((node) => node.id));
    this.data = {
      ...common,
      ...{ ...picture, nodes, centre: focus, opened: [] },
      lanes: picture.lanes.map(([track, top, height]) => ({ track, top, height })),
      links: links.filter(({ later, earlier }) => shown.has(later) && shown.has(earlier)),
    };
    document.getElementById("title").textContent = `The lineage of ${this.items.get(focus).short}`;
    this.say(describePicture(nodes, depth, picture.left_out));
    this.select(focus);
  }

  // Tells about a milestone below the picture.
  select(id) {
    this.draw({ ...this.data, selected: id });
    const { title, date, track, kind, idea, short } = this.items.get(id);
    const card = document.getElementById("card");
    card.hidden = false;
    card.replaceChildren(
      element("p", "kb-category", `${track} · ${kind} · ${date}`),
      element("h2", "", title),
      element("p", "kb-idea", idea),
      link(kbSite.milestonePage(id), "Open its page"),
    );
    if (id !== this.chosen.focus) {
      card.append(" · ", link(`#focus=${encodeURIComponent(id)}`, `The lineage of ${short}`));
    }
  }
}

function describePicture(nodes, depth, leftOut) {
  const count = (role) => nodes.filter((node) => node.role === role).length;
  const parts = [["before", "ancestor"], ["after", "descendant"]]
    .map(([role, noun]) => [count(role), noun])
    .filter(([number]) => number)
    .map(([number, noun]) => `${number} ${noun}${number === 1 ? "" : "s"}`);
  const reach = `at most ${depth} ${depth === "1" ? "link" : "links"} away`;
  const rest = leftOut ? ` Only the nearest are drawn; ${leftOut} are farther away.` : "";
  return `${parts.join(" and ") || "Nothing on the timeline"}, ${reach}.${rest}`;
}

function element(tag, className, text) {
  const added = document.createElement(tag);
  if (className) added.className = className;
  added.textContent = text;
  return added;
}

function link(href, text) {
  const added = element("a", "", text);
  added.href = href;
  return added;
}
