// A colour for each mask, as the API's overlays have them: neighbours are never close, and none repeats.

const GOLDEN = 0.618033988749895;

export type Colour = [number, number, number];

export function colour(number: number): Colour {
  const hue = ((number * GOLDEN) % 1) * 6;
  const channel = (n: number) => {
    const k = (n + hue) % 6;
    return Math.round(255 * (1 - 0.85 * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

export const css = ([r, g, b]: Colour): string => `rgb(${r} ${g} ${b})`;

/** Paints labels as colours into RGBA: 0 is clear, and the edge of a label is opaque. */
export function paint(labels: Uint16Array, width: number, rgba: Uint8ClampedArray, colours: Colour[], opacity: number): void {
  for (let at = 0; at < labels.length; at++) {
    const label = labels[at]!;
    const to = at * 4;
    if (label === 0) {
      rgba[to + 3] = 0;
      continue;
    }
    const [r, g, b] = colours[label]!;
    rgba[to] = r;
    rgba[to + 1] = g;
    rgba[to + 2] = b;
    rgba[to + 3] = isEdge(labels, at, width) ? 255 : opacity;
  }
}

function isEdge(labels: Uint16Array, at: number, width: number): boolean {
  const label = labels[at]!;
  const x = at % width;
  return (
    (x > 0 && labels[at - 1] !== label) ||
    (x < width - 1 && labels[at + 1] !== label) ||
    (at >= width && labels[at - width] !== label) ||
    (at + width < labels.length && labels[at + width] !== label)
  );
}
