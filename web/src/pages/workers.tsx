// The models that jobs may name, and the workers that have them loaded.

import { count } from "../format";
import { type Model, readModels, type Worker } from "../model";
import { usePolled } from "../parts/use_polled";

const PAUSE = 5000;

export function WorkersPage() {
  const { value: models, error } = usePolled(readModels, PAUSE);
  return (
    <>
      <div class="title"><h1>Workers</h1></div>
      {error && <p class="notice bad" role="alert">{error}</p>}
      {models === null && !error && <p class="empty" role="status">Reading …</p>}
      <ul class="jobs">{models?.map((model) => <Row key={model.name} model={model} />)}</ul>
    </>
  );
}

function Row({ model }: { model: Model }) {
  return (
    <li class="card">
      <div class="line">
        <h2>{model.name}{model.default && <span class="dim small"> default</span>}</h2>
        <span class={`state ${model.loaded ? "succeeded" : "pending"}`}>{model.loaded ? "loaded" : "no worker"}</span>
      </div>
      <p class="small dim">{[model.parameters && `${count(model.parameters)} parameters`, model.licence].filter(Boolean).join(" · ")}</p>
      {grouped(model.workers).map(({ n, worker }) => (
        <dl class="facts" key={JSON.stringify(worker)}>
          <dt>Workers</dt><dd>{n}</dd>
          <dt>Device</dt><dd>{worker.device}</dd>
          <dt>Precision</dt><dd>{worker.precision}</dd>
          <dt>Tasks</dt><dd>{worker.tasks.join(", ")}</dd>
          <dt>Revision</dt><dd><code>{worker.revision}</code></dd>
        </dl>
      ))}
    </li>
  );
}

/** Workers that are alike, together. */
function grouped(workers: Worker[]): { n: number; worker: Worker }[] {
  const groups = Map.groupBy(workers, (worker) => JSON.stringify(worker));
  return [...groups.values()].map((alike) => ({ n: alike.length, worker: alike[0]! }));
}
