// Low-resolution logits as a mask of any size, with the service's arithmetic: logits are scaled to the model's input and
// from there to the image, by two bilinear steps, and a pixel is in the mask where the result is above 0.

/** Model pixels for each low-resolution one. */
const RATIO = 4;
const TAPS = 3;

/** How the pixels of one axis are made from low-resolution logits: weights of three neighbours, the first at `start`. */
class Axis {
  readonly start: Int32Array;
  readonly weights: Float64Array;

  /** `shown` pixels of an axis of `length` image pixels, `resized` model pixels and `low` logits. */
  constructor(readonly shown: number, length: number, resized: number, low: number) {
    this.start = new Int32Array(shown);
    this.weights = new Float64Array(TAPS * shown);
    for (let at = 0; at < shown; at++) {
      const pixel = Math.floor(((at + 0.5) * length) / shown);
      const [first, second, share] = neighbours(pixel, resized / length, resized);
      const start = (this.start[at] = neighbours(first, 1 / RATIO, low)[0]);
      for (const [model, weight] of [[first, 1 - share], [second, share]] as const) {
        const [one, two, part] = neighbours(model, 1 / RATIO, low);
        this.weights[TAPS * at + one - start]! += weight * (1 - part);
        this.weights[TAPS * at + two - start]! += weight * part;
      }
    }
  }
}

/** The two source pixels of a bilinear step without aligned corners, and the weight of the second. */
function neighbours(pixel: number, scale: number, size: number): [number, number, number] {
  const source = Math.max(0, (pixel + 0.5) * scale - 0.5);
  const first = Math.min(Math.floor(source), size - 1);
  return [first, Math.min(first + 1, size - 1), source - first];
}

/** Scales masks of one image to one size. `size` is [height, width] of the image, `resized` the same in model pixels. */
export class Upscale {
  private readonly down: Axis;
  private readonly across: Axis;
  /** Where the columns begin that have the same three neighbours. */
  private readonly groups: number[] = [];
  private readonly line: Float64Array;

  constructor(readonly low: number, size: [number, number], resized: [number, number], readonly rows: number, readonly columns: number) {
    this.down = new Axis(rows, size[0], resized[0], low);
    this.across = new Axis(columns, size[1], resized[1], low);
    this.line = new Float64Array(low + TAPS);
    for (let x = 0; x < columns; x++) if (x === 0 || this.across.start[x] !== this.across.start[x - 1]) this.groups.push(x);
    this.groups.push(columns);
  }

  /** 1 where the mask of these logits (low × low) is, and the number of such pixels. */
  mask(logits: Float32Array): { labels: Uint16Array; pixels: number } {
    const labels = new Uint16Array(this.rows * this.columns);
    let pixels = 0;
    for (let y = 0; y < this.rows; y++) {
      this.mix(logits, y);
      pixels += this.fill(labels.subarray(y * this.columns, (y + 1) * this.columns));
    }
    return { labels, pixels };
  }

  /** The logits of one row of pixels, still at the columns of the low resolution. */
  private mix(logits: Float32Array, y: number): void {
    const { low, line } = this;
    const start = this.down.start[y]!;
    line.fill(0);
    for (let tap = 0; tap < TAPS; tap++) {
      const weight = this.down.weights[TAPS * y + tap]!;
      if (weight === 0) continue;
      const from = (start + tap) * low;
      for (let x = 0; x < low; x++) line[x]! += weight * logits[from + x]!;
    }
  }

  /** Most neighbours have one sign, and then so has all that lies between them. */
  private fill(row: Uint16Array): number {
    const { line, groups } = this;
    const { start, weights } = this.across;
    let pixels = 0;
    for (let group = 0; group < groups.length - 1; group++) {
      const from = groups[group]!;
      const to = groups[group + 1]!;
      const at = start[from]!;
      const [a, b, c] = [line[at]!, line[at + 1]!, line[at + 2]!];
      if (a <= 0 && b <= 0 && c <= 0) continue;
      if (a > 0 && b > 0 && c > 0) {
        row.fill(1, from, to);
        pixels += to - from;
        continue;
      }
      for (let x = from; x < to; x++) {
        if (weights[TAPS * x]! * a + weights[TAPS * x + 1]! * b + weights[TAPS * x + 2]! * c <= 0) continue;
        row[x] = 1;
        pixels++;
      }
    }
    return pixels;
  }
}
