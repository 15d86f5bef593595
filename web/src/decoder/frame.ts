// Where an image lies in the model's input: scaled so that its longer side fills it (`model/masks/frames.py`).

/** Model pixels of a cell of the embedding: the same in every published size. */
const CELL = 16;
/** Low-resolution logits of a cell. */
const PER_CELL = 4;

export interface Frame {
  /** [height, width] of the upright image. */
  size: [number, number];
  /** The same in model pixels. */
  resized: [number, number];
  /** Side of the low-resolution logits. */
  low: number;
}

export function frameOf(size: [number, number], cells: number): Frame {
  const scale = (cells * CELL) / Math.max(...size);
  const scaled = (length: number) => Math.max(Math.floor(length * scale + 0.5), 1);
  return { size, resized: [scaled(size[0]), scaled(size[1])], low: cells * PER_CELL };
}

/** Pixels of the image → pixels of the model. */
export function toModel({ size, resized }: Frame, x: number, y: number): [number, number] {
  return [(x * resized[1]) / size[1], (y * resized[0]) / size[0]];
}
