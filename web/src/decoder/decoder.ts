// The decoder's worker as the page sees it. One is kept, and is gone once the playground is left.

import { call } from "../api";
import type { Found, Question, Reply, Request } from "./messages";

type Asked = Request extends infer Each ? (Each extends Request ? Omit<Each, "id"> : never) : never;

export class Decoder {
  private readonly worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  private readonly waiting = new Map<number, { done: (found: Found | null) => void; fail: (error: Error) => void }>();
  private next = 0;
  private closed: Error | null = null;

  constructor() {
    this.worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
      const asked = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("error" in data) asked?.fail(new Error(data.error));
      else asked?.done(data.found);
    });
    this.worker.addEventListener("error", (event) => this.close(event.message));
  }

  /** Raises Error where the browser cannot run the file. */
  async load(model: ArrayBuffer): Promise<void> {
    await this.ask({ kind: "load", model }, [model]);
  }

  /** The image of the questions that follow, as float16 octets of its embedding. */
  async take(octets: ArrayBuffer, shape: [number, number, number]): Promise<void> {
    await this.ask({ kind: "image", octets, shape }, [octets]);
  }

  async decode(question: Question): Promise<Found> {
    return (await this.ask({ kind: "decode", ...question }))!;
  }

  close(why = "The decoder was closed."): void {
    this.worker.terminate();
    this.closed ??= new Error(why);
    for (const { fail } of this.waiting.values()) fail(this.closed);
    this.waiting.clear();
  }

  private ask(message: Asked, moved: Transferable[] = []): Promise<Found | null> {
    const id = this.next++;
    return new Promise((done, fail) => {
      if (this.closed) throw this.closed;
      this.waiting.set(id, { done, fail });
      this.worker.postMessage({ id, ...message }, moved);
    });
  }
}

let kept: { of: string; decoder: Decoder; loaded: Promise<Decoder> } | null = null;

/** The decoder of a model's weights, loaded at the first call. */
export function decoderOf(model: string, revision: string): Promise<Decoder> {
  const of = `${model} ${revision}`;
  if (kept?.of !== of) {
    closeDecoder();
    const decoder = new Decoder();
    kept = { of, decoder, loaded: loaded(decoder, `v1/models/${encodeURIComponent(model)}/decoders/${encodeURIComponent(revision)}`) };
  }
  return kept!.loaded;
}

export function closeDecoder(): void {
  kept?.decoder.close();
  kept = null;
}

async function loaded(decoder: Decoder, path: string): Promise<Decoder> {
  await decoder.load(await (await call(path)).arrayBuffer());
  return decoder;
}
