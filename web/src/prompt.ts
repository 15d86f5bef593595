// A prompt as it grows by clicks and boxes, in pixels of the upright image, and the masks that answer it.

import { call } from "./api";
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

export interface Answer {
  masks: Mask[];
  size: [number, number];
  ms: number;
}

const rounded = (value: number): number => Math.round(value * 10) / 10;

/** A prompt as the API takes it. A mask that is refined asks for one mask, anything else for three. */
export function promptBody(prompt: Prompt, refined: Mask | null): Record<string, unknown> {
  return {
    ...(prompt.points.length ? { points: prompt.points.map((point) => point.map(rounded)), labels: prompt.labels } : {}),
    ...(prompt.box ? { box: prompt.box.map(rounded) } : {}),
    ...(refined ? { mask: refined.segmentation } : {}),
    multimask: refined === null,
  };
}

export async function segment(source: Source, model: string, prompt: Record<string, unknown>, signal: AbortSignal): Promise<Answer> {
  const start = performance.now();
  const request = { ...(model ? { model } : {}), task: { type: "prompted" }, prompts: [prompt] };
  const answer = await ("file" in source ? upload(source.file, request, signal) : named(source.uri, request, signal));
  const { masks, size } = (await answer.json()) as Answer;
  return { masks, size, ms: performance.now() - start };
}

function named(image: string, request: object, signal: AbortSignal): Promise<Response> {
  return call("v1/segment", { method: "POST", json: { ...request, image }, signal });
}

function upload(file: File, request: object, signal: AbortSignal): Promise<Response> {
  const body = new FormData();
  body.set("image", file);
  body.set("request", new Blob([JSON.stringify(request)], { type: "application/json" }));
  return call("v1/segment", { method: "POST", body, signal });
}
