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

/** An answer with a status below 400. Raises Refused, or TypeError where the server cannot be reached. */
export async function call(path: string, { method = "GET", json, body, headers = {}, signal, key }: Call = {}): Promise<Response> {
  const given = key ?? currentKey();
  const answer = await fetch(path, {
    method,
    headers: {
      ...(given ? { Authorization: `Bearer ${given}` } : {}),
      ...(json === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    body: json === undefined ? (body ?? null) : JSON.stringify(json),
    signal: signal ?? null,
  });
  if (answer.ok) return answer;
  if (answer.status === 401 && key === undefined) onUnauthenticated();
  throw await refusal(answer);
}

export async function read<T>(path: string, options: Call = {}): Promise<T> {
  return (await (await call(path, options)).json()) as T;
}

async function refusal(answer: Response): Promise<Refused> {
  const after = Number(answer.headers.get("Retry-After"));
  try {
    const said = await answer.json();
    return new Refused(answer.status, said.reason, said.detail, said.errors, after || null);
  } catch {
    return new Refused(answer.status, "UNKNOWN", `The server answered ${answer.status}.`, [], after || null);
  }
}

/** What a user is told about an error. */
export function told(error: unknown): string {
  if (error instanceof Refused) return error.message;
  return error instanceof TypeError ? "The server cannot be reached." : String(error);
}
