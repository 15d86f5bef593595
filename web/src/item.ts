// Items of a job and their masks, as the API answers them.

import { read } from "./api";
import type { ItemState } from "./job";

export interface Item {
  id: string;
  custom_id: string;
  index: number;
  image: string;
  state: ItemState;
  attempt: number;
  error: { reason: string; detail: string | null; retryable: boolean } | null;
  size: [number, number] | null;
  mask_count: number | null;
  model: string | null;
  model_revision: string | null;
  precision: string | null;
  timings_ms: Record<string, number> | null;
  warnings: { code: string; detail: string }[];
}

export interface Mask {
  id: number;
  prompt_id: string | null;
  segmentation: { size: [number, number]; counts: string };
  bbox: [number, number, number, number];
  area: number;
  predicted_iou: number;
  stability_score: number;
  point_coords: [number, number][] | null;
  phrase: string | null;
  score: number | null;
}

export interface ItemPage {
  items: Item[];
  next_page_token?: string;
}

const totals = new Map<string, number>();

/** How many images the job has, as far as it is known. */
export const knownTotal = (job: string): number => totals.get(job) ?? 0;

/** The same, asked where image `index` is the last one known: a job that is being listed gets more. */
export async function readTotal(job: string, index: number, signal: AbortSignal): Promise<number> {
  if (index + 1 >= knownTotal(job)) {
    const { counts } = await read<{ counts: { total: number } }>(`v1/jobs/${job}`, { signal });
    totals.set(job, counts.total);
  }
  return knownTotal(job);
}

export function readItem(job: string, index: number, signal: AbortSignal): Promise<Item> {
  return read<Item>(`v1/jobs/${job}/items/${index}`, { signal });
}

/** All masks of an item, page by page. */
export async function readMasks(job: string, index: number, signal: AbortSignal): Promise<Mask[]> {
  const masks: Mask[] = [];
  let token: string | undefined;
  do {
    const page: { masks: Mask[]; next_page_token?: string } = await read(
      `v1/jobs/${job}/items/${index}/masks${token ? `?page_token=${token}` : ""}`, { signal },
    );
    masks.push(...page.masks);
    token = page.next_page_token;
  } while (token);
  return masks;
}
