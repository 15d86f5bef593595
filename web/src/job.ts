// Jobs, as the API answers them.

import { call, read } from "./api";

export type JobState =
  | "ingesting" | "pending" | "running"
  | "succeeded" | "partially_succeeded" | "failed" | "cancelled" | "expired";
export type ItemState = "pending" | "running" | "succeeded" | "failed" | "cancelled" | "expired";

export const JOB_STATES: JobState[] = [
  "ingesting", "pending", "running", "succeeded", "partially_succeeded", "failed", "cancelled", "expired",
];
/** In the order in which progress is stacked. */
export const ITEM_STATES: ItemState[] = ["succeeded", "failed", "cancelled", "expired", "running", "pending"];

export type Counts = Record<ItemState, number> & { total: number };

export interface Reason {
  reason: string;
  detail: string | null;
}

export interface Output {
  uri: string;
  formats: string[];
  state: string;
  manifest: string | null;
  error: Reason | null;
  links: { format: string | null; number: number | null; url: string }[] | null;
}

export interface Job {
  id: string;
  name: string | null;
  labels: Record<string, string>;
  state: JobState;
  done: boolean;
  model: string;
  precision: string | null;
  priority: number;
  task: Record<string, unknown> & { type: string };
  input: Record<string, unknown>;
  deadline: string | null;
  max_failure_ratio: number | null;
  reuse: boolean;
  create_time: string;
  start_time: string | null;
  end_time: string | null;
  counts: Counts;
  progress: { fraction: number; items_per_second: number | null; eta_seconds: number | null };
  failures: { reason: string; count: number }[];
  passed_over: number;
  waiting_for: string | null;
  waiting_detail: string | null;
  error: Reason | null;
  output: Output | null;
  retry_of: string | null;
}

export interface JobPage {
  jobs: Job[];
  next_page_token?: string;
}

export const FORMATS = ["jsonl", "tiles", "coco", "coco_results", "sa1b", "geojson", "gpkg", "parquet"];

export function listJobs(query: string, signal: AbortSignal): Promise<JobPage> {
  return read<JobPage>(`v1/jobs?${query}`, { signal });
}

export function cancelJob(id: string): Promise<Job> {
  return read<Job>(`v1/jobs/${id}:cancel`, { method: "POST" });
}

export function retryJob(id: string): Promise<Job> {
  return read<Job>(`v1/jobs/${id}:retry`, { method: "POST" });
}

export async function deleteJob(id: string): Promise<void> {
  await call(`v1/jobs/${id}`, { method: "DELETE" });
}

/** `run=7` → its name and value, which may have further `=`. */
export function labelOf(text: string): [string, string] {
  const [name = "", ...value] = text.split("=");
  return [name.trim(), value.join("=").trim()];
}

export const retryable = (job: Job): boolean => job.done && job.counts.failed > 0;
