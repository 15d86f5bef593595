// The steps of a prompt on one image. Each keeps its candidates, so that undo asks nothing again.

import { useEffect, useRef, useState } from "preact/hooks";

import { told } from "../api";
import type { Candidate } from "../candidate";
import { open, type Session } from "../decoder/session";
import type { Model } from "../model";
import { NO_PROMPT, type Prompt, segment, type Source } from "../prompt";

interface Step {
  prompt: Prompt;
  candidates: Candidate[];
  chosen: number;
  /** How long the answer took. */
  ms: number | null;
}

/** Who decodes: this browser, or the service where the browser cannot. */
export type Place = "loading" | "browser" | "service";

/** How long a click waits for the decoder before the service answers it. */
const PATIENCE = 2000;
const START: Step = { prompt: NO_PROMPT, candidates: [], chosen: 0, ms: null };

interface Asked {
  source: Source;
  size: [number, number];
  /** The name that is asked for; empty for the default. */
  named: string;
  model: Model | undefined;
}

export function useSegmenting(asked: Asked) {
  const [steps, setSteps] = useState<Step[]>([START]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const asking = useRef<AbortController | null>(null);
  const since = useRef<number | null>(null);
  const { place, answer } = useDecoder(asked);
  useEffect(() => () => asking.current?.abort(), []);
  const step = steps.at(-1)!;
  const stop = () => {
    asking.current?.abort();
    setBusy(false);
  };
  /** The mask that was chosen is refined. The first answer has three to choose from. */
  const ask = async (prompt: Prompt) => {
    asking.current?.abort();
    const signal = (asking.current = new AbortController()).signal;
    const refined = step.candidates[step.chosen] ?? null;
    const answered = steps.filter((each) => each === START || each.ms !== null); // a click may come before the last one's answer
    const start = (since.current = performance.now());
    setBusy(true);
    setError(null);
    setSteps([...answered, { prompt, candidates: step.candidates, chosen: step.chosen, ms: null }]);
    try {
      const candidates = await answer(prompt, refined, signal);
      if (signal.aborted) return;
      const chosen = candidates.reduce((best, each, at) => (each.score > candidates[best]!.score ? at : best), 0);
      setSteps([...answered, { prompt, candidates, chosen, ms: performance.now() - start }]);
      setBusy(false);
    } catch (failed) {
      if (signal.aborted) return;
      setSteps(answered);
      setError(told(failed));
      setBusy(false);
    }
  };
  const choose = (at: number) => at < step.candidates.length && setSteps([...steps.slice(0, -1), { ...step, chosen: at }]);
  const undo = () => {
    stop();
    setSteps(steps.length > 1 ? steps.slice(0, -1) : steps);
  };
  const clear = () => {
    stop();
    setSteps([START]);
  };
  /** The time from a click to its mask stands in the browser's own record of performance. */
  const drawn = () => {
    if (busy || since.current === null) return;
    performance.measure("click to mask", { start: since.current });
    since.current = null;
  };
  return { step, busy, error, place, ask, choose, undo, clear, drawn };
}

const pause = (ms: number) => new Promise<null>((done) => setTimeout(done, ms, null));

/** Answers by this browser's decoder. The service answers while it is loading slowly, and from its first failure on. */
function useDecoder({ source, size, named, model }: Asked) {
  const [place, setPlace] = useState<Place>("loading");
  const session = useRef<Promise<Session | null>>(Promise.resolve(null));
  useEffect(() => {
    const leaving = new AbortController();
    session.current = open(source, size, model, named, leaving.signal).catch(() => null);
    void session.current.then((found) => leaving.signal.aborted || setPlace(found ? "browser" : "service"));
    return () => leaving.abort();
  }, []);
  const answer = async (prompt: Prompt, refined: Candidate | null, signal: AbortSignal): Promise<Candidate[]> => {
    const here = await Promise.race([session.current, pause(PATIENCE)]);
    if (here) {
      try {
        return await here.answer(prompt, refined);
      } catch {
        session.current = Promise.resolve(null);
        setPlace("service");
      }
    }
    return segment(source, named, prompt, refined, signal);
  };
  return { place, answer };
}
