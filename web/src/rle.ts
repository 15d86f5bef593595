// COCO's compressed run lengths, decoded in the browser. Runs go down the columns and begin with pixels outside the mask.

/** The lengths of the runs. */
export function runs(counts: string): number[] {
  const found: number[] = [];
  for (let at = 0; at < counts.length; ) {
    let value = 0;
    let bits = 0;
    let byte: number;
    do {
      byte = counts.charCodeAt(at++) - 48;
      value |= (byte & 0x1f) << bits;
      bits += 5;
    } while (byte & 0x20);
    if (byte & 0x10) value |= -1 << bits;
    found.push(found.length > 2 ? value + found[found.length - 2]! : value);
  }
  return found;
}

/** How pixels of an image become those of a smaller picture: each takes the pixel at its centre. */
export class Grid {
  private readonly columnOf: Int32Array;

  constructor(readonly height: number, readonly width: number, readonly rows: number, readonly columns: number) {
    this.columnOf = new Int32Array(width).fill(-1);
    for (let x = 0; x < columns; x++) this.columnOf[Math.floor(((x + 0.5) * width) / columns)] = x;
  }

  /** Writes `value` into `labels` (rows × columns) where the mask is. */
  paint(counts: string, labels: Uint16Array, value: number): void {
    let start = 0;
    let inside = false;
    for (const run of runs(counts)) {
      if (inside) this.fill(start, start + run, labels, value);
      start += run;
      inside = !inside;
    }
  }

  private fill(start: number, end: number, labels: Uint16Array, value: number): void {
    while (start < end) {
      const x = Math.floor(start / this.height);
      const stop = Math.min(end, (x + 1) * this.height);
      const column = this.columnOf[x]!;
      if (column >= 0) {
        const last = this.row(stop - x * this.height);
        for (let y = this.row(start - x * this.height); y < last; y++) labels[y * this.columns + column] = value;
      }
      start = stop;
    }
  }

  private row(y: number): number {
    return Math.ceil((y * this.rows) / this.height - 0.5);
  }
}
