// A mask that answers a prompt: run lengths from the service, or logits from this browser's decoder.

import type { Frame } from "./decoder/frame";
import { Upscale } from "./decoder/upscale";
import type { Mask } from "./item";
import { Grid } from "./rle";

/** Masks of larger images are drawn smaller than the image, and their areas are counted on even fewer pixels. */
const MOST_SHOWN = 2048;
const MOST_COUNTED = 1024;

export interface Candidate {
  score: number;
  /** In pixels of the image. */
  area: number;
  shape: Mask["segmentation"] | Shape;
}

/** A mask as low-resolution logits. */
export class Shape {
  constructor(readonly logits: Float32Array, private readonly frame: Frame) {}

  area(): number {
    const [height, width] = this.frame.size;
    const [rows, columns] = within(MOST_COUNTED, this.frame.size);
    return Math.round((this.scaled(rows, columns).pixels * height * width) / (rows * columns));
  }

  scaled(rows: number, columns: number): { labels: Uint16Array; pixels: number } {
    return upscale(this.frame, rows, columns).mask(this.logits);
  }
}

const made = new WeakMap<Frame, Upscale[]>();

/** Made once for all masks of an image that have one size. */
function upscale(frame: Frame, rows: number, columns: number): Upscale {
  const known = made.get(frame) ?? [];
  const found = known.find((each) => each.rows === rows && each.columns === columns);
  if (found) return found;
  const fresh = new Upscale(frame.low, frame.size, frame.resized, rows, columns);
  made.set(frame, [...known, fresh]);
  return fresh;
}

/** [height, width] in which masks of an image are drawn. */
export const shown = (size: [number, number]) => within(MOST_SHOWN, size);

function within(most: number, [height, width]: [number, number]): [number, number] {
  const scale = Math.min(1, most / Math.max(height, width));
  return [Math.max(1, Math.round(height * scale)), Math.max(1, Math.round(width * scale))];
}

/** 1 where the mask is, 0 elsewhere. */
export function labelsOf({ shape }: Candidate, size: [number, number], rows: number, columns: number): Uint16Array {
  if (shape instanceof Shape) return shape.scaled(rows, columns).labels;
  const labels = new Uint16Array(rows * columns);
  new Grid(size[0], size[1], rows, columns).paint(shape.counts, labels, 1);
  return labels;
}
