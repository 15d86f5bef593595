// A prompt as it grows by clicks and boxes, in pixels of the upright image, and the masks that answer it.

import { call } from "./api";
import { type Candidate, Shape } from "./candidate";
import type { Mask } from "./item";

export type Point = [number, number];

export interface Prompt {
  points: Point[];
  labels: number[];
  box: [number, number, number, number] | null;
}

export const NO_PROMPT: Prompt = { points: [], labels: [], box: null };

/** What is segmented: a file of the user's, or an image that the API may read. */
export type Source = { file: File } | { uri: string };

const rounded = (value: number): number => Math.round(value * 10) / 10;

/** A prompt as the API takes it. A mask that is refined asks for one mask, anything else for three. */
export function promptBody(prompt: Prompt, refined: Candidate | null): Record<string, unknown> {
  return {
    ...(prompt.points.length ? { points: prompt.points.map((point) => point.map(rounded)), labels: prompt.labels } : {}),
    ...(prompt.box ? { box: prompt.box.map(rounded) } : {}),
    // Logits of this browser are not sent: the clicks have all that led to them.
    ...(refined && !(refined.shape instanceof Shape) ? { mask: refined.shape } : {}),
    multimask: refined === null,
  };
}

/** The service's answer to a prompt. */
export async function segment(source: Source, model: string, prompt: Prompt, refined: Candidate | null, signal: AbortSignal): Promise<Candidate[]> {
  const request = { ...(model ? { model } : {}), task: { type: "prompted" }, prompts: [promptBody(prompt, refined)] };
  const { masks } = (await (await ask("v1/segment", source, request, signal)).json()) as { masks: Mask[] };
  return masks.map(({ predicted_iou, area, segmentation }) => ({ score: predicted_iou, area, shape: segmentation }));
}

/** A call about an image, which is named or sent along. */
export function ask(path: string, source: Source, request: object, signal: AbortSignal): Promise<Response> {
  if ("uri" in source) return call(path, { method: "POST", json: { ...request, image: source.uri }, signal });
  const body = new FormData();
  body.set("image", source.file);
  body.set("request", new Blob([JSON.stringify(request)], { type: "application/json" }));
  return call(path, { method: "POST", body, signal });
}
