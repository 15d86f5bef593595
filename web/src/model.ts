// Models that jobs may name, as the API answers them.

import { read } from "./api";

export interface Worker {
  device: string;
  precision: string;
  revision: string;
  tasks: string[];
}

export interface Model {
  name: string;
  default: boolean;
  parameters: number | null;
  licence: string | null;
  loaded: boolean;
  workers: Worker[];
}

export async function readModels(signal: AbortSignal): Promise<Model[]> {
  return (await read<{ models: Model[] }>("v1/models", { signal })).models;
}

/** Whether a live worker serves this kind of task with the model. */
export const serves = (model: Model | undefined, task: string): boolean =>
  model?.workers.some((worker) => worker.tasks.includes(task)) ?? false;
