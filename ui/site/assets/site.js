// What every page has: the components get here what Streamlit gives them in the app, which is a
// root of their own, data, and a way to say what was clicked.

"use strict";

const kbSite = {
  components: {}, // name -> the component's function, and its CSS: see NAME-component.js
  styles: {},
  root: document.documentElement.dataset.root, // leads to the folder of the site
  timeline: null, // data/milestones.js
  lineage: null, // data/lineage.js

  milestonePage(id) {
    return `${kbSite.root}milestone/${encodeURIComponent(id)}.html`;
  },

  lineagePage(id) {
    return `${kbSite.root}lineage.html?focus=${encodeURIComponent(id)}`;
  },

  // Draws a component in an element; returns a function that draws it again, with other data.
  // `onEvent` gets the name of what happened, as "clicked", and the id of a milestone.
  mount(host, name, onEvent) {
    const parentElement = host.attachShadow({ mode: "open" });
    const style = document.createElement("style");
    style.textContent = kbSite.styles[name];
    parentElement.append(style);
    let data;
    const draw = () => {
      if (data) kbSite.components[name]({ parentElement, data, setTriggerValue: onEvent });
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    return (newData) => {
      data = newData;
      draw();
    };
  },

  // Draws an element that says itself which component it is and where its data are.
  drawElement(host) {
    if (host.shadowRoot) return;
    const { component, from } = host.dataset;
    const own = JSON.parse(document.getElementById(from).textContent);
    const draw = kbSite.mount(host, component, (event, id) => {
      location.href = event === "opened" ? kbSite.lineagePage(id) : kbSite.milestonePage(id);
    });
    const shared = component === "timeline" ? { ...kbSite.timeline, found: null, key: from } : {};
    draw({ ...shared, ...own });
  },
};

document.documentElement.classList.add("js");

addEventListener("DOMContentLoaded", () => {
  const steps = document.getElementById("tour"); // tour.js draws what is in the steps
  for (const host of document.querySelectorAll("[data-component]")) {
    if (!steps) kbSite.drawElement(host);
  }
  // What scrolls sideways has to be reached by the keyboard, too.
  for (const equation of document.querySelectorAll(".math.block")) {
    if (equation.scrollWidth > equation.clientWidth) equation.tabIndex = 0;
  }
  openTarget();
});
addEventListener("hashchange", openTarget);

// A link to a row that opens, opens it.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
