// What a milestone is to the lineage that is drawn, as the legend and the cards say it.

export const ROLES = {
  centre: "this milestone",
  before: "ancestor",
  after: "descendant",
  end: "start or end of the path",
  way: "on the path",
  beside: "added by you",
};

// What a milestone would have lost without the one that is taken out.
export const LOSSES = {
  out: "taken out",
  all: "would have lost every line",
  some: "would have lost some lines",
};

// The corners of a box. A descendant has round ends, so that it differs without
// colour, too.
export function cornerRadius(role, height) {
  return role === "after" ? height / 2 : 3;
}
