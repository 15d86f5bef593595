// The masks that answer a prompt, with their scores.

import { count } from "../format";
import type { Candidate } from "../candidate";

export function Candidates({ candidates, chosen, choose }: { candidates: Candidate[]; chosen: number; choose: (at: number) => void }) {
  if (candidates.length === 0) return null;
  return (
    <ol class="masks" aria-label="Candidates">
      {candidates.map((candidate, at) => (
        <li key={at}>
          <button class="plain" aria-pressed={at === chosen} onClick={() => choose(at)}>
            <span>{at + 1}</span>
            <span>score {candidate.score.toFixed(3)}</span>
            <span class="dim">{count(candidate.area)} px</span>
          </button>
        </li>
      ))}
    </ol>
  );
}
