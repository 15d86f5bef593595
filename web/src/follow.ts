// Follow a job by server-sent events. EventSource cannot send the key, so the stream is read by fetch.

import { call, readText, Refused } from "./api";
import type { Job } from "./job";

const PAUSE = 2000;

/**
 * Calls `seen` with the job as it is and after each change, until it is done. Connects again after a broken line. A refusal
 * that would come again is `final`.
 */
export async function follow(id: string, seen: (job: Job) => void, lost: (error: unknown, final: boolean) => void, signal: AbortSignal): Promise<void> {
  let last: string | null = null;
  while (!signal.aborted) {
    try {
      for await (const event of events(`v1/jobs/${id}/events`, last, signal)) {
        last = event.id;
        const job = JSON.parse(event.data) as Job;
        seen(job);
        if (job.done) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      const final = error instanceof Refused && error.status < 500 && error.status !== 429;
      lost(error, final);
      if (final) return;
    }
    await new Promise((done) => setTimeout(done, PAUSE));
  }
}

interface ServerEvent {
  id: string;
  data: string;
}

async function* events(path: string, last: string | null, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  const headers: Record<string, string> = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
  let text = "";
  for await (const piece of readText(await call(path, { headers, signal }))) {
    text += piece;
    const blocks = text.split("\n\n");
    text = blocks.pop()!;
    for (const block of blocks) {
      const event = parsed(block);
      if (event) yield event;
    }
  }
}

/** A block without data is a comment, or says how long to wait. */
function parsed(block: string): ServerEvent | null {
  const fields = new Map(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trimStart()]));
  const data = fields.get("data");
  return data === undefined ? null : { id: fields.get("id") ?? "", data };
}
