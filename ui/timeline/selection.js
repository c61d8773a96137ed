// Which milestone is selected: by a click here, or by Python.

const ANSWER_MS = 1500; // after a click, a rerun may still carry the selection from before it

export class Selection {
  constructor() {
    this.id = null;
    this.received = null; // what Python said last
    this.chosen = undefined; // the click that Python hasn't confirmed yet
    this.chosenAt = -Infinity;
  }

  choose(id) {
    this.id = this.chosen = id;
    this.chosenAt = performance.now();
  }

  // Returns whether Python selects another milestone than was clicked.
  receive(id) {
    const isOld = id === this.received;
    if (isOld && performance.now() - this.chosenAt < ANSWER_MS) return false;
    const isNews = !isOld && id !== this.chosen;
    if (!isOld) this.chosen = undefined;
    this.received = this.id = id;
    return isNews;
  }
}
