// The masks of an image as a layer over it: all that pass the filters, and one that is highlighted.

import { useEffect, useMemo, useRef } from "preact/hooks";

import { type Colour, colour, paint } from "../colours";
import type { Mask } from "../item";
import { Grid } from "../rle";

const OPACITY = 115;
const HIGHLIGHT: Colour = [255, 255, 255];

export interface Layer {
  width: number;
  height: number;
  /** Which mask is on top at each pixel: its place in `masks` plus one. */
  labels: Uint16Array;
}

/** The larger a mask, the lower it lies. */
export function order(masks: Mask[]): Mask[] {
  return masks.toSorted((a, b) => b.area - a.area);
}

export function useLayer(masks: Mask[], size: [number, number] | null, width: number, height: number): Layer | null {
  return useMemo(() => {
    if (!size || !width) return null;
    const grid = new Grid(size[0], size[1], height, width);
    const labels = new Uint16Array(width * height);
    masks.forEach((mask, at) => grid.paint(mask.segmentation.counts, labels, at + 1));
    return { width, height, labels };
  }, [masks, size, width, height]);
}

export function MaskLayer({ layer, numbers }: { layer: Layer; numbers: number[] }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const picture = new ImageData(layer.width, layer.height);
    paint(layer.labels, layer.width, picture.data, [HIGHLIGHT, ...numbers.map(colour)], OPACITY);
    canvas.current!.getContext("2d")!.putImageData(picture, 0, 0);
  }, [layer, numbers]);
  return <canvas ref={canvas} width={layer.width} height={layer.height} />;
}

interface HighlightProps {
  mask: Mask | null;
  size: [number, number];
  width: number;
  height: number;
}

export function Highlight({ mask, size, width, height }: HighlightProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current!.getContext("2d")!;
    context.clearRect(0, 0, width, height);
    if (!mask) return;
    const labels = new Uint16Array(width * height);
    new Grid(size[0], size[1], height, width).paint(mask.segmentation.counts, labels, 1);
    const picture = new ImageData(width, height);
    paint(labels, width, picture.data, [HIGHLIGHT, HIGHLIGHT], OPACITY);
    context.putImageData(picture, 0, 0);
  }, [mask, size, width, height]);
  return <canvas ref={canvas} width={width} height={height} class="highlight" />;
}
