// A job that is being written on the page, and the request that it becomes.

import { labelOf } from "./job";

export interface Draft {
  name: string;
  source: "prefix" | "upload" | "images" | "manifest";
  place: string;
  glob: string;
  images: string;
  model: string;
  task: "auto" | "text" | "prompted";
  parameters: Record<string, string>;
  phrases: string;
  prompts: string;
  labels: string;
  output: string;
}

export const EMPTY: Draft = {
  name: "", source: "prefix", place: "", glob: "", images: "", model: "", task: "auto", parameters: {}, phrases: "", prompts: "",
  labels: "", output: "",
};

/** Parameters of an automatic task that the page offers. The API has more, and their defaults. */
export const PARAMETERS: { name: string; label: string; step: string }[] = [
  { name: "points_per_side", label: "Points per side", step: "1" },
  { name: "pred_iou_thresh", label: "Predicted IoU from", step: "0.01" },
  { name: "stability_score_thresh", label: "Stability from", step: "0.01" },
  { name: "min_mask_area", label: "Area from (px)", step: "1" },
  { name: "max_masks", label: "Most masks", step: "1" },
];

const lines = (text: string): string[] => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** A file of the user that is in S3 now. */
export interface Stored {
  name: string;
  image: string;
}

/** The body of the request. `stored` are the files of an upload. Raises SyntaxError where prompts are not JSON. */
export function bodyOfDraft(draft: Draft, stored: Stored[]): Record<string, unknown> {
  const labels = Object.fromEntries(draft.labels.split(",").map(labelOf).filter(([name]) => name));
  return {
    ...(draft.name.trim() ? { name: draft.name.trim() } : {}),
    ...(Object.keys(labels).length ? { labels } : {}),
    ...(draft.model ? { model: draft.model } : {}),
    task: task(draft),
    input: { ...input(draft, stored), ...(draft.task === "prompted" && draft.prompts.trim() ? { prompts: JSON.parse(draft.prompts) } : {}) },
    ...(draft.output.trim() ? { output: { uri: draft.output.trim(), formats: ["coco"] } } : {}),
  };
}

function task(draft: Draft): Record<string, unknown> {
  if (draft.task === "text") return { type: "text", phrases: lines(draft.phrases) };
  if (draft.task === "prompted") return { type: "prompted" };
  const given = Object.entries(draft.parameters).filter(([, value]) => value !== "");
  return { type: "auto", ...Object.fromEntries(given.map(([name, value]) => [name, Number(value)])) };
}

function input(draft: Draft, stored: Stored[]): Record<string, unknown> {
  if (draft.source === "upload") return { items: named(stored) };
  if (draft.source === "images") return { items: lines(draft.images).map((image) => ({ image })) };
  if (draft.source === "manifest") return { manifest: draft.place.trim() };
  return { prefix: draft.place.trim(), ...(draft.glob.trim() ? { glob: draft.glob.trim() } : {}) };
}

/** Items with the files' names as ids. Ids are unique, and files of different folders may have one name. */
function named(stored: Stored[]): { custom_id: string; image: string }[] {
  const seen = new Map<string, number>();
  return stored.map(({ name, image }) => {
    const nth = (seen.get(name) ?? 0) + 1;
    seen.set(name, nth);
    return { custom_id: nth === 1 ? name : `${name} (${nth})`, image };
  });
}
