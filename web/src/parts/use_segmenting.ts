// The steps of a prompt on one image. Each keeps its masks, so that undo asks nothing again.

import { useEffect, useRef, useState } from "preact/hooks";

import { told } from "../api";
import type { Mask } from "../item";
import { NO_PROMPT, type Prompt, promptBody, segment, type Source } from "../prompt";

interface Step {
  prompt: Prompt;
  masks: Mask[];
  chosen: number;
  /** How long the answer took. */
  ms: number | null;
}

const START: Step = { prompt: NO_PROMPT, masks: [], chosen: 0, ms: null };

export function useSegmenting(source: Source, model: string) {
  const [steps, setSteps] = useState<Step[]>([START]);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const asking = useRef<AbortController | null>(null);
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
    const refined = step.masks[step.chosen] ?? null;
    const answered = steps.filter((each) => each === START || each.ms !== null); // a click may come before the last one's answer
    setBusy(true);
    setError(null);
    setSteps([...answered, { prompt, masks: step.masks, chosen: step.chosen, ms: null }]);
    try {
      const { masks, ms } = await segment(source, model, promptBody(prompt, refined), signal);
      const chosen = masks.reduce((best, mask, at) => (mask.predicted_iou > masks[best]!.predicted_iou ? at : best), 0);
      setSteps([...answered, { prompt, masks, chosen, ms }]);
      setBusy(false);
    } catch (failed) {
      if (signal.aborted) return;
      setSteps(answered);
      setError(told(failed));
      setBusy(false);
    }
  };
  const choose = (at: number) => at < step.masks.length && setSteps([...steps.slice(0, -1), { ...step, chosen: at }]);
  const undo = () => {
    stop();
    setSteps(steps.length > 1 ? steps.slice(0, -1) : steps);
  };
  const clear = () => {
    stop();
    setSteps([START]);
  };
  return { step, busy, error, ask, choose, undo, clear };
}
