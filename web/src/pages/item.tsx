// One image with its masks: look closely, filter, step through them. `?mask=7` names a mask.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { told } from "../api";
import { colour, css } from "../colours";
import { count, milliseconds, words } from "../format";
import { type Item, knownTotal, type Mask, readItem, readMasks, readTotal } from "../item";
import { useKeys } from "../parts/keys";
import { FilterForm, type Filters, NO_FILTERS, passes } from "../parts/mask_filters";
import { Highlight, MaskLayer, order, useLayer } from "../parts/mask_layer";
import { bitmap, Picture } from "../parts/picture";
import { State } from "../parts/progress";
import { byStage } from "../parts/stages";
import { Stage, type StageActs } from "../parts/stage";
import { name } from "../parts/thumbnail";
import { preview } from "../previews";
import { address, go, replace } from "../route";

const SIDE = 2048;
const NO_MASKS: Mask[] = [];

export function ItemPage({ job, index, query }: { job: string; index: number; query: URLSearchParams }) {
  const { item, masks, picture, total, error } = useItem(job, index);
  const hasNext = index + 1 < total;
  const [filters, setFilters] = useState<Filters>(NO_FILTERS);
  const [hovered, setHovered] = useState<number | null>(null);
  const [showing, setShowing] = useState(true);
  const stage = useRef<StageActs>(null);
  const sorted = useMemo(() => order(masks), [masks]);
  const shown = useMemo(() => (showing ? sorted.filter((mask) => passes(mask, filters)) : NO_MASKS), [sorted, filters, showing]);
  const places = useMemo(() => new Map(sorted.map((mask, at) => [mask, at])), [sorted]);
  const numberOf = (mask: Mask) => places.get(mask)!;
  const numbers = useMemo(() => shown.map(numberOf), [shown, places]);
  const layer = useLayer(shown, item?.size ?? null, picture?.width ?? 0, picture?.height ?? 0);
  const named = query.get("mask") === null ? null : Number(query.get("mask"));
  const select = (id: number | null) => replace(address(`jobs/${job}/items/${index}`, { mask: id }));
  const listed = shown.toSorted((a, b) => a.id - b.id);
  useKeys({
    ArrowLeft: () => index > 0 && go(address(`jobs/${job}/items/${index - 1}`)),
    ArrowRight: () => hasNext && go(address(`jobs/${job}/items/${index + 1}`)),
    j: () => select(step(listed, named, 1)),
    k: () => select(step(listed, named, -1)),
    m: () => setShowing(!showing),
    "+": () => stage.current?.zoom(1.5),
    "-": () => stage.current?.zoom(1 / 1.5),
    "0": () => stage.current?.fit(),
    Escape: () => select(null),
  });
  const lit = masks.find((mask) => mask.id === (hovered ?? named)) ?? null;
  const maskAt = (at: [number, number] | null) => (at && layer ? (shown[labelAt(layer, at) - 1]?.id ?? null) : null);
  return (
    <>
      <div class="title">
        <h1>{item ? name(item) : `Image ${index}`}</h1>
        {item && <State state={item.state} />}
        <nav class="tabs" aria-label="Images">
          <a href={address(`jobs/${job}`)}>Job</a>
          {item?.state === "succeeded" && <a href={address("playground", { job, item: index })}>Try prompts</a>}
          {index > 0 && <a href={address(`jobs/${job}/items/${index - 1}`)}>Previous</a>}
          {hasNext && <a href={address(`jobs/${job}/items/${index + 1}`)}>Next</a>}
        </nav>
      </div>
      {error && <p class="notice bad" role="alert">{error}</p>}
      {item?.error && <p class="notice bad">{words(item.error.reason)}{item.error.detail && `: ${item.error.detail}`}</p>}
      <div class="viewer">
        <div>
          {picture && item?.size && (
            <Stage ref={stage} width={picture.width} height={picture.height} label={`${name(item)} with ${shown.length} masks`}
              onMove={(at) => setHovered(maskAt(at))} onPick={(at) => select(maskAt(at))}>
              <Picture picture={picture} />
              {layer && <MaskLayer layer={layer} numbers={numbers} />}
              <Highlight mask={lit} size={item.size} width={picture.width} height={picture.height} />
            </Stage>
          )}
          {!picture && item?.state === "succeeded" && !error && <div class="stage" role="status"><p class="empty">Reading the image …</p></div>}
          {lit && <Facts mask={lit} />}
          <p class="small dim keys"><kbd>←</kbd> <kbd>→</kbd> images · <kbd>j</kbd> <kbd>k</kbd> masks · <kbd>m</kbd> show masks · <kbd>+</kbd> <kbd>-</kbd> <kbd>0</kbd> zoom</p>
        </div>
        {item && (
          <aside class="card" aria-label="The image and its masks">
            {item.state === "succeeded" && (
              <>
                <h2>{count(shown.length)} of {count(masks.length)} masks</h2>
                <FilterForm masks={masks} filters={filters} change={setFilters} />
                <MaskList masks={listed} numberOf={numberOf} named={named} select={select} hover={setHovered} />
              </>
            )}
            <ItemFacts item={item} />
          </aside>
        )}
      </div>
    </>
  );
}

function labelAt(layer: { width: number; height: number; labels: Uint16Array }, [x, y]: [number, number]): number {
  if (x < 0 || y < 0 || x >= layer.width || y >= layer.height) return 0;
  return layer.labels[Math.floor(y) * layer.width + Math.floor(x)]!;
}

function step(masks: Mask[], named: number | null, by: number): number | null {
  if (masks.length === 0) return null;
  const at = masks.findIndex((mask) => mask.id === named);
  const next = at < 0 ? (by > 0 ? 0 : masks.length - 1) : (at + by + masks.length) % masks.length;
  return masks[next]!.id;
}

function useItem(job: string, index: number) {
  const [item, setItem] = useState<Item | null>(null);
  const [masks, setMasks] = useState<Mask[]>(NO_MASKS);
  const [picture, setPicture] = useState<ImageBitmap | null>(null);
  const [total, setTotal] = useState(() => knownTotal(job));
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    const load = async () => {
      const found = await readItem(job, index, stop.signal);
      setItem(found);
      if (found.state !== "succeeded") return;
      const drawn = preview(job, index, SIDE, false, stop.signal).then(bitmap);
      drawn.then(setPicture, () => {});
      setMasks(await readMasks(job, index, stop.signal));
      await drawn;
    };
    load().catch((failed) => stop.signal.aborted || setError(told(failed)));
    // What is wrong with the job is told by the item.
    readTotal(job, index, stop.signal).then(setTotal, () => {});
    return () => stop.abort();
  }, [job, index]);
  return { item, masks, picture, total, error };
}

function Facts({ mask }: { mask: Mask }) {
  return (
    <p class="small facts-line">
      Mask {mask.id}: area {count(mask.area)} px, predicted IoU {mask.predicted_iou.toFixed(3)}, stability {mask.stability_score.toFixed(3)}
      {mask.phrase !== null && `, ${mask.phrase} ${mask.score!.toFixed(2)}`}{mask.prompt_id !== null && `, prompt ${mask.prompt_id}`}
    </p>
  );
}

interface ListProps {
  masks: Mask[];
  numberOf: (mask: Mask) => number;
  named: number | null;
  select: (id: number) => void;
  hover: (id: number | null) => void;
}

function MaskList({ masks, numberOf, named, select, hover }: ListProps) {
  return (
    <ol class="masks" onPointerLeave={() => hover(null)}>
      {masks.map((mask) => (
        <li key={mask.id}>
          <button class="plain" aria-pressed={mask.id === named} onClick={() => select(mask.id)} onPointerEnter={() => hover(mask.id)}>
            <span class="swatch" style={{ background: css(colour(numberOf(mask))) }} />
            <span>{mask.phrase ?? mask.prompt_id ?? `mask ${mask.id}`}</span>
            <span class="dim">{count(mask.area)} px</span>
            <span class="dim">{mask.predicted_iou.toFixed(2)}</span>
          </button>
        </li>
      ))}
    </ol>
  );
}

function ItemFacts({ item }: { item: Item }) {
  return (
    <dl class="facts small">
      <dt>Image</dt><dd>{item.image}</dd>
      {item.size && [<dt key="s">Size</dt>, <dd key="t">{item.size[1]} × {item.size[0]}</dd>]}
      {item.model && [<dt key="m">Model</dt>, <dd key="n">{item.model}, {item.precision}</dd>]}
      {item.warnings.map((warning) => [<dt key={warning.code}>Warning</dt>, <dd key={`${warning.code}:`}>{warning.detail}</dd>])}
      {byStage(item.timings_ms ?? {}).map(([stage, ms]) => [<dt key={stage}>{stage}</dt>, <dd key={`${stage}:`}>{milliseconds(ms)}</dd>])}
    </dl>
  );
}
