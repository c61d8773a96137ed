// A coarse raster of what is taken: says whether a rectangle is free without comparing pairs.

export class Occupancy {
  constructor(cellSize) {
    this.cellSize = cellSize;
    this.cells = new Uint8Array(0);
  }

  clear(width, height) {
    this.columns = Math.ceil(width / this.cellSize) + 1;
    this.rows = Math.ceil(height / this.cellSize) + 1;
    const count = this.columns * this.rows;
    if (this.cells.length === count) this.cells.fill(0);
    else this.cells = new Uint8Array(count);
  }

  isFree(x, y, width, height) {
    return !this._some(x, y, width, height, (cell) => this.cells[cell]);
  }

  take(x, y, width, height) {
    this._some(x, y, width, height, (cell) => {
      this.cells[cell] = 1;
    });
  }

  // Whether the test holds for one of the cells. Those outside the raster count as free.
  _some(x, y, width, height, test) {
    const size = this.cellSize;
    const right = Math.min(this.columns - 1, Math.floor((x + width) / size));
    const bottom = Math.min(this.rows - 1, Math.floor((y + height) / size));
    const left = Math.max(0, Math.floor(x / size));
    for (let row = Math.max(0, Math.floor(y / size)); row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        if (test(row * this.columns + column)) return true;
      }
    }
    return false;
  }
}
