// How far a job is: its items by state, stacked.

import { count, words } from "../format";
import { type Counts, ITEM_STATES } from "../job";

export function Progress({ counts }: { counts: Counts }) {
  const there = ITEM_STATES.filter((state) => counts[state] > 0);
  const said = there.map((state) => `${count(counts[state])} ${words(state)}`).join(", ");
  return (
    <div class="stack" role="img" aria-label={said || "no items"} title={said}>
      {there.map((state) => <span key={state} class={`part ${state}`} style={{ width: `${(100 * counts[state]) / counts.total}%` }} />)}
    </div>
  );
}

export function State({ state }: { state: string }) {
  return <span class={`state ${state}`}>{words(state)}</span>;
}
