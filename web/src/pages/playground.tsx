// Try prompts on one image: click, draw a box, choose among the candidates, refine, undo.

import { useEffect, useRef, useState } from "preact/hooks";

import { told } from "../api";
import { closeDecoder } from "../decoder/decoder";
import { milliseconds } from "../format";
import { readItem } from "../item";
import type { Model } from "../model";
import { CandidateLayer } from "../parts/candidate_layer";
import { Candidates } from "../parts/candidates";
import { Code } from "../parts/copy";
import { useKeys } from "../parts/keys";
import { bitmap, Picture } from "../parts/picture";
import { Marks } from "../parts/marks";
import { Stage, type StageActs } from "../parts/stage";
import { useModels } from "../parts/use_models";
import { type Place, useSegmenting } from "../parts/use_segmenting";
import { preview } from "../previews";
import { type Prompt, promptBody, type Source } from "../prompt";
import { asCurl } from "../submission";

const SIDE = 2048;
const PLACES: Record<Place, string> = {
  loading: "The decoder is loading.",
  browser: "Masks are decoded in this browser.",
  service: "Masks are decoded by the service.",
};
const MODES = [["include", "Include"], ["exclude", "Exclude"], ["box", "Box"]] as const;

interface Opened {
  source: Source;
  picture: ImageBitmap;
  /** [height, width] of the upright image. The picture may be smaller. */
  size: [number, number];
  name: string;
}

export function PlaygroundPage({ query }: { query: URLSearchParams }) {
  const [opened, setOpened] = useState<Opened | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [model, setModel] = useState("");
  const { models, error: noModels } = useModels();
  useEffect(() => closeDecoder, []);
  const open = (file: File) => openFile(file).then((found) => { setOpened(found); setError(null); }, () => setError(`${file.name} cannot be shown by the browser.`));
  const [job, item] = [query.get("job"), query.get("item")];
  useEffect(() => {
    const stop = new AbortController();
    if (job && item) openItem(job, Number(item), stop.signal).then(setOpened, (failed) => stop.signal.aborted || setError(told(failed)));
    return () => stop.abort();
  }, [job, item]);
  const dropped = (event: DragEvent) => {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file) void open(file);
  };
  return (
    <div onDragOver={(event) => event.preventDefault()} onDrop={dropped}>
      <div class="title">
        <h1>Playground</h1>
        <div class="filters">
          <label>Model<select value={model} onChange={(e) => setModel(e.currentTarget.value)}><option value="">default</option>{models.filter((each) => each.loaded).map((each) => <option key={each.name}>{each.name}</option>)}</select></label>
          <label>Image<input type="file" accept="image/*" onChange={(e) => e.currentTarget.files?.[0] && void open(e.currentTarget.files[0])} /></label>
        </div>
      </div>
      {error && <p class="notice bad" role="alert">{error}</p>}
      {!opened && <p class="empty">Choose an image or drop one here. It is sent to the service, which keeps nothing. Or open an image of a job and <em>try prompts</em> there.</p>}
      {opened && (models.length > 0 || noModels) && (
        <Board key={`${opened.name} ${model}`} opened={opened} named={model} model={models.find((each) => (model ? each.name === model : each.default))} />
      )}
    </div>
  );
}

async function openFile(file: File): Promise<Opened> {
  const picture = await createImageBitmap(file);
  return { source: { file }, picture, size: [picture.height, picture.width], name: `${file.name} ${file.lastModified}` };
}

async function openItem(job: string, index: number, signal: AbortSignal): Promise<Opened> {
  const item = await readItem(job, index, signal);
  const picture = await bitmap(await preview(job, index, SIDE, false, signal));
  return { source: { uri: item.image }, picture, size: item.size!, name: item.image };
}

function Board({ opened, named, model }: { opened: Opened; named: string; model: Model | undefined }) {
  const { picture, size, source } = opened;
  const [mode, setMode] = useState<string>("include");
  const [drawn, setDrawn] = useState<Prompt["box"]>(null);
  const { step, busy, error, place, ask, choose, undo, clear, drawn: onDrawn } = useSegmenting({ source, size, named, model });
  const stage = useRef<StageActs>(null);
  const scale = size[1] / picture.width;
  const prompt = step.prompt;
  const inside = ([x, y]: [number, number]) => x >= 0 && y >= 0 && x < picture.width && y < picture.height;
  const click = (at: [number, number], event: PointerEvent) => {
    if (mode === "box" || !inside(at)) return;
    const label = mode === "exclude" || event.shiftKey ? 0 : 1;
    ask({ ...prompt, points: [...prompt.points, [at[0] * scale, at[1] * scale]], labels: [...prompt.labels, label] });
  };
  const box = (from: [number, number], to: [number, number], done: boolean) => {
    const found: Prompt["box"] = [Math.min(from[0], to[0]) * scale, Math.min(from[1], to[1]) * scale, Math.max(from[0], to[0]) * scale, Math.max(from[1], to[1]) * scale];
    setDrawn(done ? null : found);
    if (done) ask({ ...prompt, box: found });
  };
  useKeys({
    i: () => setMode("include"), e: () => setMode("exclude"), b: () => setMode("box"), u: undo, Escape: clear,
    "1": () => choose(0), "2": () => choose(1), "3": () => choose(2),
    "+": () => stage.current?.zoom(1.5), "-": () => stage.current?.zoom(1 / 1.5), "0": () => stage.current?.fit(),
  });
  const chosen = step.candidates[step.chosen] ?? null;
  return (
    <div class="viewer">
      <div>
        <Stage ref={stage} width={picture.width} height={picture.height} label="The image with the mask" onPick={click} onBox={box} boxing={mode === "box"}>
          <Picture picture={picture} />
          <CandidateLayer candidate={chosen} size={size} onDrawn={onDrawn} />
          <Marks prompt={drawn ? { ...prompt, box: drawn } : prompt} scale={scale} width={picture.width} height={picture.height} />
        </Stage>
        <p class="small dim keys"><kbd>i</kbd> <kbd>e</kbd> <kbd>b</kbd> include, exclude, box · shift excludes · <kbd>1</kbd> <kbd>2</kbd> <kbd>3</kbd> candidates · <kbd>u</kbd> undo · <kbd>Esc</kbd> clear</p>
      </div>
      <aside class="card" aria-label="Prompt">
        <div class="acts" role="group" aria-label="What a click does">
          {MODES.map(([value, name]) => <button key={value} aria-pressed={mode === value} onClick={() => setMode(value)}>{name}</button>)}
        </div>
        <div class="acts gap"><button onClick={undo}>Undo</button><button onClick={clear}>Clear</button></div>
        <p class="small" role="status">{busy ? "Segmenting …" : step.ms !== null ? `Answered in ${milliseconds(step.ms)}.` : "Click on an object, or draw a box around it."}</p>
        <p class="small dim">{PLACES[place]}</p>
        {error && <p class="notice bad" role="alert">{error}</p>}
        <Candidates candidates={step.candidates} chosen={step.chosen} choose={choose} />
        {(prompt.points.length > 0 || prompt.box) && <InJob prompt={prompt} source={source} model={named} />}
      </aside>
    </div>
  );
}

/** A job has the clicks and the box alone. It asks for one mask, which they decide. */
function InJob({ prompt, source, model }: { prompt: Prompt; source: Source; model: string }) {
  const image = "uri" in source ? source.uri : "s3://bucket/image.jpg";
  const body = {
    ...(model ? { model } : {}),
    task: { type: "prompted" },
    input: { items: [{ image, prompts: [{ ...promptBody(prompt, null), multimask: false }] }] },
  };
  return (
    <>
      <h2>Use these prompts in a job</h2>
      <details><summary>JSON</summary><Code text={JSON.stringify(body, null, 1)} label="JSON" /></details>
      <details><summary>curl</summary><Code text={asCurl(body)} label="curl" /></details>
    </>
  );
}
