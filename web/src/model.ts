// Models that jobs may name and the workers that have them loaded, as the API answers them.

import { read } from "./api";

export interface WorkerStatus {
  memory_bytes: number;
  gpu: { name: string; used_bytes: number; total_bytes: number } | null;
  busy: boolean;
  work: { job_id: string; chunk: number; since: string }[];
  images_per_second: number;
}

export interface Worker {
  id: string;
  device: string;
  precision: string;
  revision: string;
  tasks: string[];
  /** null: a worker of an older release. */
  status: WorkerStatus | null;
}

export interface Model {
  name: string;
  default: boolean;
  parameters: number | null;
  licence: string | null;
  loaded: boolean;
  workers: Worker[];
  /** Revisions whose mask decoder can be downloaded. */
  decoders: string[];
}

/** A worker with all that it has loaded. */
export interface LiveWorker {
  id: string;
  device: string;
  status: WorkerStatus | null;
  loaded: { name: string; precision: string; revision: string; tasks: string[] }[];
}

export async function readModels(signal: AbortSignal): Promise<Model[]> {
  return (await read<{ models: Model[] }>("v1/models", { signal })).models;
}

/** Whether a live worker serves this kind of task with the model. */
export const serves = (model: Model | undefined, task: string): boolean =>
  model?.workers.some((worker) => worker.tasks.includes(task)) ?? false;

/** The API lists workers by model. Here each is once. */
export function liveWorkers(models: Model[]): LiveWorker[] {
  const rows = models.flatMap((model) => model.workers.map((worker) => ({ ...worker, name: model.name })));
  return [...Map.groupBy(rows, (row) => row.id).values()].map((loaded) => {
    const { id, device, status } = loaded[0]!;
    return { id, device, status, loaded };
  });
}
