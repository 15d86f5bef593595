// Which masks of an image are shown: by area, predicted IoU and stability.

import { count } from "../format";
import type { Mask } from "../item";

export interface Filters {
  area: number;
  iou: number;
  stability: number;
}

export const NO_FILTERS: Filters = { area: 0, iou: 0, stability: 0 };

export function passes(mask: Mask, { area, iou, stability }: Filters): boolean {
  return mask.area >= area && mask.predicted_iou >= iou && mask.stability_score >= stability;
}

export function FilterForm({ masks, filters, change }: { masks: Mask[]; filters: Filters; change: (filters: Filters) => void }) {
  const largest = Math.log10(Math.max(10, ...masks.map((mask) => mask.area)));
  return (
    <form class="sliders" onSubmit={(event) => event.preventDefault()}>
      <Slider name="Area from" said={`${count(filters.area)} px`} value={filters.area ? Math.log10(filters.area) : 0} max={largest} step={0.01}
        change={(value) => change({ ...filters, area: value ? Math.round(10 ** value) : 0 })} />
      <Slider name="Predicted IoU from" said={filters.iou.toFixed(2)} value={filters.iou} max={1} step={0.01}
        change={(iou) => change({ ...filters, iou })} />
      <Slider name="Stability from" said={filters.stability.toFixed(2)} value={filters.stability} max={1} step={0.01}
        change={(stability) => change({ ...filters, stability })} />
    </form>
  );
}

interface SliderProps {
  name: string;
  said: string;
  value: number;
  max: number;
  step: number;
  change: (value: number) => void;
}

function Slider({ name, said, value, max, step, change }: SliderProps) {
  return (
    <label>
      <span>{name} <b aria-hidden="true">{said}</b></span>
      <input type="range" min="0" max={max} step={step} value={value} aria-label={name} aria-valuetext={said} onInput={(e) => change(Number(e.currentTarget.value))} />
    </label>
  );
}
