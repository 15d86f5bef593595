// Files that the user has chosen. Each is sent as soon as it is chosen, a few at a time.

import { useEffect, useReducer, useRef, useState } from "preact/hooks";

import { told } from "../api";
import type { Stored } from "../draft";
import { bytes } from "../format";
import { readUploadPlace, send, type Upload, type UploadPlace } from "../upload";

const AT_ONCE = 3;

export interface Uploads {
  /** null until it is known. */
  place: UploadPlace | null;
  files: Upload[];
  /** The files in S3; null while one of them is not. */
  stored: Stored[] | null;
  add: (files: Iterable<File>) => void;
  remove: (id: number) => void;
  again: (id: number) => void;
}

export function useUploads(): Uploads {
  const [place, setPlace] = useState<UploadPlace | null>(null);
  const [, changed] = useReducer((n: number) => n + 1, 0);
  const sending = useRef<Sending | null>(null);
  sending.current ??= new Sending(() => changed(undefined));
  const { files } = sending.current;
  useEffect(() => {
    const stop = new AbortController();
    // Without an answer the choice stays closed. What the server says to a submit is shown there.
    readUploadPlace(stop.signal).then(setPlace, () => {});
    return () => {
      stop.abort();
      sending.current?.close();
    };
  }, []);
  const all = files.every((file) => file.state === "sent");
  return {
    place,
    files,
    stored: all ? files.map(({ file, image }) => ({ name: file.name, image: image! })) : null,
    add: (chosen) => sending.current!.add(chosen, place?.max_bytes ?? Infinity),
    remove: (id) => sending.current!.remove(id),
    again: (id) => sending.current!.again(id),
  };
}

/** What is sent, and what waits. `changed` is called with each change. */
class Sending {
  files: Upload[] = [];
  private stops = new Map<number, AbortController>();
  private next = 0;

  constructor(private readonly changed: () => void) {}

  add(chosen: Iterable<File>, most: number): void {
    for (const file of chosen) {
      if (this.files.some((other) => same(other.file, file))) continue;
      const why = file.size > most ? `larger than ${bytes(most)}` : file.size === 0 ? "empty" : null;
      this.files.push({ id: this.next++, file, state: why ? "failed" : "waiting", sent: 0, image: null, why });
    }
    this.fill();
  }

  remove(id: number): void {
    this.stops.get(id)?.abort();
    this.files = this.files.filter((file) => file.id !== id);
    this.fill();
  }

  again(id: number): void {
    this.set(id, { state: "waiting", why: null, sent: 0 });
    this.fill();
  }

  close(): void {
    this.stops.forEach((stop) => stop.abort());
  }

  private fill(): void {
    for (const file of this.files) {
      if (this.stops.size >= AT_ONCE) break;
      if (file.state === "waiting") void this.send(file);
    }
    this.changed();
  }

  private async send({ id, file }: Upload): Promise<void> {
    const stop = new AbortController();
    this.stops.set(id, stop);
    this.set(id, { state: "sending" });
    try {
      const image = await send(file, (sent) => this.set(id, { sent }), stop.signal);
      this.set(id, { state: "sent", image });
    } catch (error) {
      this.set(id, { state: "failed", why: told(error) });
    } finally {
      this.stops.delete(id);
      this.fill();
    }
  }

  private set(id: number, changes: Partial<Upload>): void {
    this.files = this.files.map((file) => (file.id === id ? { ...file, ...changes } : file));
    this.changed();
  }
}

const same = (one: File, other: File): boolean =>
  one.name === other.name && one.size === other.size && one.lastModified === other.lastModified;
