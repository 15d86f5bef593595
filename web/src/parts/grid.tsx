// A grid of any number of images. Only the rows in view exist; the page's own scrolling moves it.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { count } from "../format";
import type { Items } from "../items";
import type { Job } from "../job";
import { address } from "../route";
import { Thumbnail } from "./thumbnail";

const CELL = 168;
const CAPTION = 44;
const GAP = 8;
const MARGIN_ROWS = 2;
/** Browsers lay out no more pixels than this. A longer grid ends here and says so. */
const TALLEST = 15_000_000;

interface Window {
  columns: number;
  first: number;
  last: number;
}

interface Props {
  job: Job;
  items: Items;
  total: number;
  turn: string;
  query: Record<string, string>;
}

export function Grid({ job, items, total, turn, query }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [{ columns, first, last }, setWindow] = useState<Window>({ columns: 1, first: 0, last: 0 });
  const n = items.count(total);
  const width = box.current?.clientWidth ?? 0;
  const side = columns > 0 && width ? (width - GAP * (columns - 1)) / columns : CELL;
  const row = side + CAPTION + GAP;
  const rows = Math.min(Math.ceil(n / columns), Math.floor(TALLEST / row));
  useLayoutEffect(() => {
    const look = () => box.current && setWindow((was) => same(was, view(box.current!)));
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, []);
  const end = Math.min((last + 1) * columns, n, rows * columns);
  useEffect(() => {
    if (end > first * columns) items.need(first * columns, end - 1);
  }, [items, first, end, columns, turn]);
  const shown = Array.from({ length: Math.max(0, end - first * columns) }, (_, i) => first * columns + i);
  return (
    <>
      <div class="grid" ref={box} style={{ height: `${rows * row}px` }}>
        {shown.map((at) => {
          const item = items.at(at);
          const x = (at % columns) * (side + GAP);
          const y = Math.floor(at / columns) * row;
          return (
            <div key={item ? `i${item.index}` : `a${at}`} class="cell" style={{ width: `${side}px`, transform: `translate(${x}px, ${y}px)` }}>
              {item ? <Thumbnail job={job.id} item={item} side={side} query={query} /> : <div class="thumb" style={{ height: `${side}px` }} />}
            </div>
          );
        })}
      </div>
      {rows * columns < n && <p class="small">The first {count(rows * columns)} of {count(n)} are shown. <GoTo job={job} /></p>}
    </>
  );
}

function GoTo({ job }: { job: Job }) {
  const [index, setIndex] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    location.hash = address(`jobs/${job.id}/items/${index}`);
  };
  return (
    <form class="inline" onSubmit={submit}>
      <label>Go to image <input type="number" min="0" max={job.counts.total - 1} required value={index} onInput={(e) => setIndex(e.currentTarget.value)} /></label>
    </form>
  );
}

function view(box: HTMLElement): Window {
  const { top, width } = box.getBoundingClientRect();
  const columns = Math.max(2, Math.round((width + GAP) / (CELL + GAP)));
  const row = (width - GAP * (columns - 1)) / columns + CAPTION + GAP;
  const first = Math.max(0, Math.floor(-top / row) - MARGIN_ROWS);
  return { columns, first, last: Math.max(0, Math.floor((innerHeight - top) / row)) + MARGIN_ROWS };
}

function same(was: Window, now: Window): Window {
  return was.columns === now.columns && was.first === now.first && was.last === now.last ? was : now;
}
