// Calls to the API. Addresses are relative, so that the pages work behind any prefix of a proxy.

import { currentKey } from "./session";

/** A refusal, as problem+json. `errors` point to fields of the body. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly reason: string,
    detail: string,
    readonly errors: { pointer: string; detail: string }[] = [],
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }
}

/** No answer, or an answer that broke off. */
export class Unreachable extends Error {
  constructor() {
    super("The server cannot be reached.");
  }
}

/** What a network does to a promise of fetch: a TypeError, which would look like a mistake of ours. */
async function reached<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw error instanceof TypeError ? new Unreachable() : error;
  }
}

let onUnauthenticated: () => void = () => {};

/** What happens when the API does not take the key any more. */
export function whenUnauthenticated(act: () => void): void {
  onUnauthenticated = act;
}

export interface Call {
  method?: string;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  key?: string;
}

/** An answer with a status below 400. Raises Refused, Unreachable. */
export async function call(path: string, { method = "GET", json, body, headers = {}, signal, key }: Call = {}): Promise<Response> {
  const given = key ?? currentKey();
  const answer = await reached(fetch(path, {
    method,
    headers: {
      ...(given ? { Authorization: `Bearer ${given}` } : {}),
      ...(json === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    body: json === undefined ? (body ?? null) : JSON.stringify(json),
    signal: signal ?? null,
  }));
  if (answer.ok) return answer;
  if (answer.status === 401 && key === undefined) onUnauthenticated();
  throw refusal(answer.status, answer.headers.get("Retry-After"), await reached(answer.text()));
}

export async function read<T>(path: string, options: Call = {}): Promise<T> {
  const answer = await call(path, options);
  return (await reached(answer.json())) as T;
}

/** The whole body of an answer. */
export async function readFile(path: string, options: Call = {}): Promise<Blob> {
  const answer = await call(path, options);
  return reached(answer.blob());
}

/** Pieces of an answer's text, as they come. */
export async function* readText(answer: Response): AsyncGenerator<string> {
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reached(reader.read());
    if (done) return;
    yield value;
  }
}

/** `text` is problem+json where the API itself refuses. A proxy may say anything. */
export function refusal(status: number, retryAfter: string | null, text: string): Refused {
  const after = Number(retryAfter) || null;
  try {
    const said = JSON.parse(text);
    return new Refused(status, said.reason, said.detail, said.errors, after);
  } catch {
    return new Refused(status, "UNKNOWN", `The server answered ${status}.`, [], after);
  }
}

/** What a user is told about an error. */
export function told(error: unknown): string {
  return error instanceof Refused || error instanceof Unreachable ? error.message : String(error);
}
