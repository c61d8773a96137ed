// What a milestone is to the lineage that is drawn, as the legend and the cards say it.

export const ROLES = {
  centre: "this milestone",
  before: "ancestor",
  after: "descendant",
  end: "start or end of the path",
  way: "on the path",
  beside: "added by you",
};

// The corners of a box. A descendant has round ends, so that it differs without
// colour, too.
export function cornerRadius(role, height) {
  return role === "after" ? height / 2 : 3;
}
