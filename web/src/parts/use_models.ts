// The models that this installation offers, read once for a page.

import { useEffect, useState } from "preact/hooks";

import { told } from "../api";
import { type Model, readModels } from "../model";

export function useModels(): { models: Model[]; error: string | null } {
  const [models, setModels] = useState<Model[]>([]);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    readModels(stop.signal).then(setModels, (failed) => stop.signal.aborted || setError(told(failed)));
    return () => stop.abort();
  }, []);
  return { models, error };
}
