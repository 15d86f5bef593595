// Files of the user, sent to the API one by one. `fetch` cannot say how much of a body was sent, so this is XMLHttpRequest.

import { read, refusal, Refused, Unreachable } from "./api";
import { currentKey } from "./session";

export interface UploadPlace {
  enabled: boolean;
  folder: string | null;
  max_bytes: number;
}

export interface Upload {
  id: number;
  file: File;
  state: "waiting" | "sending" | "sent" | "failed";
  /** Bytes. */
  sent: number;
  /** Where it is in S3. */
  image: string | null;
  why: string | null;
}

const TRIES = 6;

export function readUploadPlace(signal: AbortSignal): Promise<UploadPlace> {
  return read<UploadPlace>("v1/uploads", { signal });
}

/** The URI of the file in S3. `seen` gets the bytes that were sent so far. A busy server is asked again. */
export async function send(file: File, seen: (sent: number) => void, signal: AbortSignal): Promise<string> {
  for (let tries = 1; ; tries++) {
    try {
      return await put(file, seen, signal);
    } catch (error) {
      const busy = error instanceof Refused && (error.status === 429 || error.status >= 500);
      if (signal.aborted || tries >= TRIES || !(busy || error instanceof Unreachable)) throw error;
      await new Promise((done) => setTimeout(done, 1000 * ((busy && error.retryAfter) || tries)));
    }
  }
}

function put(file: File, seen: (sent: number) => void, signal: AbortSignal): Promise<string> {
  return new Promise((done, failed) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    signal.addEventListener("abort", stop);
    request.open("PUT", `v1/uploads/${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Authorization", `Bearer ${currentKey()}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => seen(event.loaded);
    request.onload = () => {
      if (request.status === 201) done((JSON.parse(request.responseText) as { image: string }).image);
      else failed(refusalOf(request));
    };
    request.onerror = () => failed(new Unreachable());
    request.onabort = () => failed(signal.reason);
    request.onloadend = () => signal.removeEventListener("abort", stop);
    request.send(file);
  });
}

function refusalOf(request: XMLHttpRequest): Refused {
  return refusal(request.status, request.getResponseHeader("Retry-After"), request.responseText);
}
