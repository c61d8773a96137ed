// The filter of the claims: the papers with a claim of that verdict.

"use strict";

addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("filter");
  const papers = [...document.querySelectorAll("details.paper")];
  form.hidden = false;
  form.addEventListener("input", () => {
    const wanted = form.elements.verdict.value;
    for (const paper of papers) {
      paper.hidden = wanted !== "" && !paper.dataset.outcomes.split(",").includes(wanted);
    }
    const shown = papers.filter((paper) => !paper.hidden).length;
    form.querySelector("output").textContent = wanted ? `${shown} papers` : "";
  });
});
