// What a milestone is to the lineage that is drawn, as the legend and the cards say it.

export const ROLES = {
  centre: "what this is about",
  before: "made it possible",
  after: "came of it",
  end: "one of the two",
  way: "on the way",
  beside: "opened beside",
};

// The corners of a box. What came of the milestone has round ends, so that it differs without
// colour, too.
export function cornerRadius(role, height) {
  return role === "after" ? height / 2 : 3;
}
