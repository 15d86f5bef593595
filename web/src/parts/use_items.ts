// The items of a job for as long as a page shows them. They are read again while the job changes.

import { useEffect, useMemo, useState } from "preact/hooks";

import { told } from "../api";
import { Items } from "../items";
import type { ItemState, Job } from "../job";

/** `turn` changes with each page that was read, and with each change of the job. */
export function useItems(job: Job, state: string): { items: Items; turn: string; error: string | null } {
  const [read, setRead] = useState(0);
  const [error, setError] = useState<string | null>(null);
  const items = useMemo(() => {
    setError(null);
    return new Items(job.id, (state || null) as ItemState | null, () => setRead((n) => n + 1), (failed) => setError(told(failed)));
  }, [job.id, state]);
  useEffect(() => () => items.close(), [items]);
  const version = `${job.state} ${JSON.stringify(job.counts)}`;
  const [seen, setSeen] = useState(version);
  if (seen !== version) {
    items.refresh();
    setSeen(version);
  }
  return { items, turn: `${read} ${version}`, error };
}
