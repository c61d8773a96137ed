// A tour shows one step at a time: #step-3 is the address of a step, #end sums up what was guessed.
// Guesses stay in this browser.

"use strict";

const KEYS = { ArrowLeft: "prev", ArrowRight: "next" };

addEventListener("DOMContentLoaded", () => {
  const tour = document.getElementById("tour");
  const steps = [...tour.querySelectorAll(".step")];
  for (const step of steps) prepareGuess(step, `kb-guess-${tour.dataset.tour}-${step.id}`);

  function show() {
    const current = steps.find((step) => `#${step.id}` === location.hash) ?? steps[0];
    for (const step of steps) step.classList.toggle("current", step === current);
    for (const host of current.querySelectorAll("[data-component]")) kbSite.drawElement(host);
    if (current.id === "end") sumUp(steps);
    scrollTo(0, 0);
  }

  addEventListener("hashchange", show);
  addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input, select, [role=application], .component");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const rel = KEYS[event.key];
    if (rel) tour.querySelector(`.current a[rel="${rel}"]`)?.click();
  });
  show();
});

// The evidence is hidden until a guess was made.
function prepareGuess(step, key) {
  const field = step.querySelector(".guess");
  if (!field) return;
  const answer = (guess) => {
    step.dataset.guess = guess;
    const { right } = field.dataset;
    field.querySelector("[role=status]").textContent =
      guess === right ? "That is what was measured." : `Measured: ${right}.`;
    step.classList.remove("asks");
  };
  step.classList.add("asks");
  const inputs = [...field.querySelectorAll("input")];
  const earlier = inputs.find((input) => input.value === readGuess(key));
  if (earlier) {
    earlier.checked = true;
    answer(earlier.value);
  }
  field.addEventListener("change", (event) => {
    keepGuess(key, event.target.value);
    answer(event.target.value);
  });
}

// A browser may forbid a page to keep anything: then a guess lasts as long as the page.
function readGuess(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function keepGuess(key, guess) {
  try {
    localStorage.setItem(key, guess);
  } catch {
    // nothing to do: see above
  }
}

function sumUp(steps) {
  const made = steps.filter((step) => step.dataset.guess);
  if (!made.length) return;
  const list = document.createElement("ul");
  let right = 0;
  for (const step of made) {
    const field = step.querySelector(".guess");
    const isRight = step.dataset.guess === field.dataset.right;
    right += isRight;
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `#${step.id}`;
    link.textContent = field.querySelector("legend").textContent;
    const outcome = `You: ${step.dataset.guess}. Measured: ${field.dataset.outcome}.`;
    item.append(isRight ? "✓ " : "✗ ", link, document.createElement("br"), outcome);
    list.append(item);
  }
  const sentence = document.createElement("p");
  sentence.textContent = `${right} of ${made.length} came out as you guessed.`;
  document.getElementById("guesses").replaceChildren(sentence, list);
}
