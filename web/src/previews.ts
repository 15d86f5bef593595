// Small pictures of items. They need the key, so they are fetched, and shown from memory.

import { readFile, Refused } from "./api";

const AT_ONCE = 4;
const KEPT = 400;

const kept = new Map<string, string>();
const waiting: (() => void)[] = [];
let running = 0;

/** The address of a picture in memory. It stays valid while it is among the last few hundred that were shown. */
export async function preview(job: string, index: number, side: number, masks: boolean, signal: AbortSignal): Promise<string> {
  const path = `v1/jobs/${job}/items/${index}/preview.jpg?side=${side}&masks=${masks}`;
  const known = kept.get(path);
  if (known !== undefined) {
    kept.delete(path);
    kept.set(path, known);
    return known;
  }
  const picture = URL.createObjectURL(await fetched(path, signal));
  kept.set(path, picture);
  for (const [oldest, address] of kept) {
    if (kept.size <= KEPT) break;
    kept.delete(oldest);
    URL.revokeObjectURL(address);
  }
  return picture;
}

/** Forget all of them, when somebody else may sign in. */
export function forgetPreviews(): void {
  kept.forEach((address) => URL.revokeObjectURL(address));
  kept.clear();
}

async function fetched(path: string, signal: AbortSignal): Promise<Blob> {
  await turn(signal);
  try {
    for (;;) {
      try {
        return await readFile(path, { signal });
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 429) throw error;
        await new Promise((done) => setTimeout(done, 1000 * (error.retryAfter ?? 1)));
      }
    }
  } finally {
    running--;
    waiting.shift()?.();
  }
}

/** Waits for one of a few places. The newest goes first, because it is what the user looks at. */
async function turn(signal: AbortSignal): Promise<void> {
  while (running >= AT_ONCE) {
    await new Promise<void>((go) => waiting.unshift(go));
    if (signal.aborted) waiting.shift()?.();
    signal.throwIfAborted();
  }
  running++;
}
