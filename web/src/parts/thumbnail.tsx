// One image of a grid: its picture with masks, or the reason why there is none.

import { useEffect, useState } from "preact/hooks";

import { Refused } from "../api";
import { count, words } from "../format";
import type { Item } from "../item";
import { preview } from "../previews";
import { address } from "../route";

const SIDE = 256;
/** Pictures that pass by faster than this are not asked for. */
const PAUSE = 60;

export function Thumbnail({ job, item, side, query }: { job: string; item: Item; side: number; query: Record<string, string> }) {
  return (
    <a class={`thumbnail ${item.state}`} href={address(`jobs/${job}/items/${item.index}`, query)} title={item.image}>
      <div class="thumb" style={{ height: `${side}px` }}>
        {item.state === "succeeded" ? <Picture job={job} item={item} /> : <span class="why">{item.error?.reason ?? words(item.state)}</span>}
      </div>
      <span class="caption">{name(item)}</span>
      <span class="caption dim">{item.mask_count === null ? words(item.state) : masks(item.mask_count)}</span>
    </a>
  );
}

const masks = (n: number): string => (n === 1 ? "1 mask" : `${count(n)} masks`);

/** What the user called it, else the last part of its address. */
export function name(item: Item): string {
  return item.custom_id === String(item.index) ? (item.image.split("/").pop() ?? item.custom_id) : item.custom_id;
}

function Picture({ job, item }: { job: string; item: Item }) {
  const [picture, setPicture] = useState<string | null>(null);
  const [why, setWhy] = useState<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        setPicture(await preview(job, item.index, SIDE, true, stop.signal));
      } catch (error) {
        if (!stop.signal.aborted) setWhy(error instanceof Refused ? error.reason : "not loaded");
      }
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [job, item.index]);
  if (why) return <span class="why">{why}</span>;
  return picture ? <img src={picture} alt="" /> : null;
}
