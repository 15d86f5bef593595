// How long an image takes in each stage: the median of the images that were read.

import { milliseconds } from "../format";
import type { Item } from "../item";

const ORDER = ["queue", "fetch", "decode", "encode", "mask", "rle", "store"];

/** In the order in which an image passes through them. */
export function byStage(times: Record<string, number>): [string, number][] {
  return Object.entries(times).toSorted(([a], [b]) => ORDER.indexOf(a) - ORDER.indexOf(b));
}

export function Stages({ items }: { items: Item[] }) {
  const timed = items.flatMap((item) => (item.timings_ms ? [item.timings_ms] : []));
  if (timed.length === 0) return null;
  const stages = [...new Set([...ORDER, ...timed.flatMap(Object.keys)])];
  const medians = stages.map((stage) => [stage, median(timed.flatMap((times) => times[stage] ?? []))] as const).filter(([, value]) => value !== null);
  const most = Math.max(...medians.map(([, value]) => value!));
  return (
    <section class="card" aria-labelledby="stages">
      <h2 id="stages">Time by stage</h2>
      <ul class="bars">
        {medians.map(([stage, value]) => (
          <li key={stage}>
            <span>{stage}</span>
            <span class="bar" aria-hidden="true"><span class="fill" style={{ width: `${(100 * value!) / (most || 1)}%` }} /></span>
            <span>{milliseconds(value!)}</span>
          </li>
        ))}
      </ul>
      <p class="small dim">Median of {timed.length} {timed.length === 1 ? "image" : "images"} shown above.</p>
    </section>
  );
}

function median(values: number[]): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
