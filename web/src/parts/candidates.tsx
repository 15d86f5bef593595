// The masks that answer a prompt, with their scores.

import { count } from "../format";
import type { Mask } from "../item";

export function Candidates({ masks, chosen, choose }: { masks: Mask[]; chosen: number; choose: (at: number) => void }) {
  if (masks.length === 0) return null;
  return (
    <ol class="masks" aria-label="Candidates">
      {masks.map((mask, at) => (
        <li key={at}>
          <button class="plain" aria-pressed={at === chosen} onClick={() => choose(at)}>
            <span>{at + 1}</span>
            <span>score {mask.predicted_iou.toFixed(3)}</span>
            <span class="dim">{count(mask.area)} px</span>
          </button>
        </li>
      ))}
    </ol>
  );
}
