// What the API answers now, read again while somebody looks at the page.

import { useEffect, useState } from "preact/hooks";

import { told } from "../api";

/** `read` is called every `pause` milliseconds, and anew when `query` changes. */
export function usePolled<T>(read: (signal: AbortSignal) => Promise<T>, pause: number, query = "") {
  const [value, setValue] = useState<T | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => setValue(null), [query]);
  useEffect(() => {
    const stop = new AbortController();
    const load = async () => {
      if (document.hidden) return;
      try {
        setValue(await read(stop.signal));
        setError(null);
      } catch (failed) {
        if (!stop.signal.aborted) setError(told(failed));
      }
    };
    void load();
    const timer = setInterval(load, pause);
    document.addEventListener("visibilitychange", load);
    return () => {
      stop.abort();
      clearInterval(timer);
      document.removeEventListener("visibilitychange", load);
    };
  }, [query, pause, turn]);
  return { value, error, again: () => setTurn((n) => n + 1) };
}
