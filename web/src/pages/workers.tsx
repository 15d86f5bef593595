// The workers: what each does now, how fast it is and what memory it takes; and the models that jobs may name.

import { bytes, count, duration, rate } from "../format";
import { type LiveWorker, liveWorkers, type Model, readModels, type WorkerStatus } from "../model";
import { usePolled } from "../parts/use_polled";
import { address } from "../route";

const PAUSE = 3000;

export function WorkersPage() {
  const { value: models, error } = usePolled(readModels, PAUSE);
  const workers = liveWorkers(models ?? []);
  return (
    <>
      <div class="title"><h1>Workers</h1>{models && <span class="dim">{summary(workers)}</span>}</div>
      {error && <p class="notice bad" role="alert">{error}</p>}
      {models === null && !error && <p class="empty" role="status">Reading …</p>}
      {models && workers.length === 0 && <p class="empty">No worker has signed in the last half minute. Jobs wait until one does.</p>}
      <ul class="jobs">{workers.map((worker) => <Row key={worker.id} worker={worker} />)}</ul>
      {models && <h2 class="section">Models</h2>}
      <ul class="jobs">{models?.map((model) => <ModelRow key={model.name} model={model} />)}</ul>
    </>
  );
}

function summary(workers: LiveWorker[]): string {
  const busy = workers.filter((worker) => worker.status?.busy).length;
  const perSecond = workers.reduce((sum, worker) => sum + (worker.status?.images_per_second ?? 0), 0);
  return `${count(workers.length)} live, ${count(busy)} busy${perSecond > 0 ? `, ${rate(perSecond)}` : ""}`;
}

function Row({ worker }: { worker: LiveWorker }) {
  const { status } = worker;
  return (
    <li class="card">
      <div class="line">
        <h2>{worker.loaded.map((model) => model.name).join(", ")}</h2>
        <code class="dim">{worker.id}</code>
        <span class={`state ${status === null ? "" : status.busy ? "running" : "succeeded"}`}>{status === null ? "live" : status.busy ? "busy" : "idle"}</span>
      </div>
      <dl class="numbers">
        <div><dt>Device</dt><dd>{status?.gpu?.name ?? worker.device}</dd></div>
        <div><dt>Throughput</dt><dd>{status ? rate(status.images_per_second) : "–"}</dd></div>
        <div><dt>Memory</dt><dd>{status ? bytes(status.memory_bytes) : "–"}</dd></div>
        {status?.gpu && <div><dt>GPU memory</dt><dd>{bytes(status.gpu.used_bytes)} of {bytes(status.gpu.total_bytes)}</dd></div>}
      </dl>
      <p class="small now">{status === null ? <span class="dim">This worker is of an older release, which does not say what it does.</span> : <Work status={status} />}</p>
      <details class="small">
        <summary>Loaded</summary>
        {worker.loaded.map((model) => (
          <dl class="facts" key={model.name}>
            <dt>Model</dt><dd>{model.name}, {model.precision} on {worker.device}</dd>
            <dt>Tasks</dt><dd>{model.tasks.join(", ")}</dd>
            <dt>Revision</dt><dd><code>{model.revision}</code></dd>
          </dl>
        ))}
      </details>
    </li>
  );
}

/** Chunks of the caller's own jobs. The API names no others. */
function Work({ status }: { status: WorkerStatus }) {
  if (!status.busy) return <span class="dim">Waits for work.</span>;
  if (status.work.length === 0) return <>Works on something else than your jobs.</>;
  return <>{[...Map.groupBy(status.work, (chunk) => chunk.job_id)].map(([job, chunks]) => (
    <span key={job}>
      Works on {chunks.length === 1 ? "chunk" : "chunks"} {chunks.map(({ chunk }) => chunk).toSorted((a, b) => a - b).join(", ")} of{" "}
      <a href={address(`jobs/${job}`)}>{job}</a>, for {duration(longest(chunks.map(({ since }) => since)))}.{" "}
    </span>
  ))}</>;
}

/** Seconds since the first of these times. */
const longest = (times: string[]): number => (Date.now() - Math.min(...times.map((time) => Date.parse(time)))) / 1000;

function ModelRow({ model }: { model: Model }) {
  return (
    <li class="card">
      <div class="line">
        <h3>{model.name}{model.default && <span class="dim small"> default</span>}</h3>
        <span class={`state ${model.loaded ? "succeeded" : "pending"}`}>{model.loaded ? `${count(model.workers.length)} ${model.workers.length === 1 ? "worker" : "workers"}` : "no worker"}</span>
      </div>
      <p class="small dim">{[model.parameters && `${count(model.parameters)} parameters`, model.licence].filter(Boolean).join(" · ")}</p>
    </li>
  );
}
