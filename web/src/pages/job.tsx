// One job, live: how far it is, what failed and why, how long each stage takes, its results and its images.

import { useEffect, useState } from "preact/hooks";

import { Refused, told } from "../api";
import { follow } from "../follow";
import { count, duration, rate, when, words } from "../format";
import { ITEM_STATES, type Job } from "../job";
import { Acts } from "../parts/acts";
import { Code } from "../parts/copy";
import { Exports } from "../parts/exports";
import { Grid } from "../parts/grid";
import { Progress, State } from "../parts/progress";
import { Stages } from "../parts/stages";
import { address, go } from "../route";
import { asCurl, asPython, bodyOf } from "../submission";
import { useItems } from "../parts/use_items";

export function JobPage({ id, query }: { id: string; query: URLSearchParams }) {
  const { job, setJob, error } = useJob(id);
  if (error && !job) return <p class="notice bad" role="alert">{error} <a href={address("jobs")}>To the jobs</a></p>;
  if (!job) return <p class="empty" role="status">Reading the job …</p>;
  const changed = (now: Job | null) => (now ? setJob(now) : go(address("jobs")));
  return (
    <>
      <div class="title">
        <h1>{job.name ?? job.id}</h1>
        <State state={job.state} />
        <Acts job={job} changed={changed} deletes />
      </div>
      {error && <p class="notice bad" role="alert">{error}</p>}
      <Notices job={job} />
      <Numbers job={job} />
      <Details job={job} />
      <Images job={job} state={query.get("state") ?? ""} />
    </>
  );
}

function useJob(id: string) {
  const [job, setJob] = useState<Job | null>(null);
  const [error, setError] = useState<string | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    const seen = (now: Job) => {
      setJob(now);
      setError(null);
    };
    const lost = (failed: unknown, final: boolean) => {
      const gone = failed instanceof Refused && failed.status === 404;
      if (gone) setJob(null);
      setError(gone ? "There is no such job." : `${told(failed)}${final ? "" : " Trying again …"}`);
    };
    void follow(id, seen, lost, stop.signal);
    return () => stop.abort();
  }, [id]);
  return { job, setJob, error };
}

function Notices({ job }: { job: Job }) {
  return (
    <>
      {job.waiting_for && <p class="notice" role="status">The job waits: {waiting(job)}</p>}
      {job.error && <p class="notice bad" role="status">{words(job.error.reason)}{job.error.detail && `: ${job.error.detail}`}</p>}
    </>
  );
}

function waiting(job: Job): string {
  if (job.waiting_for === "NO_WORKER") return `no worker has ${job.model} loaded and serves ${job.task.type} jobs.`;
  return `${words(job.waiting_for!).toLowerCase()}${job.waiting_detail ? `: ${job.waiting_detail}` : ""}`;
}

function Numbers({ job }: { job: Job }) {
  const took = job.start_time ? (Date.parse(job.end_time ?? new Date().toISOString()) - Date.parse(job.start_time)) / 1000 : null;
  const left = job.progress.eta_seconds;
  return (
    <section class="card" aria-label="Progress">
      <Progress counts={job.counts} />
      <dl class="numbers">
        <div><dt>Images</dt><dd>{count(job.counts.total)}</dd></div>
        <div><dt>Done</dt><dd>{(100 * job.progress.fraction).toFixed(job.done ? 0 : 1)} %</dd></div>
        <div><dt>Failed</dt><dd class={job.counts.failed ? "bad" : ""}>{count(job.counts.failed)}</dd></div>
        <div><dt>Throughput</dt><dd>{rate(job.progress.items_per_second)}</dd></div>
        <div><dt>{job.done ? "Took" : "Running for"}</dt><dd>{took === null ? "–" : duration(took)}</dd></div>
        {!job.done && <div><dt>Time left</dt><dd>{left === null ? "–" : duration(left)}</dd></div>}
      </dl>
    </section>
  );
}

function Details({ job }: { job: Job }) {
  const body = bodyOf(job);
  return (
    <div class="columns">
      <section class="card" aria-labelledby="results">
        <h2 id="results">Results</h2>
        <Exports job={job} />
      </section>
      {job.failures.length > 0 && (
        <section class="card" aria-labelledby="failures">
          <h2 id="failures">Failures</h2>
          <Failures job={job} />
        </section>
      )}
      <section class="card" aria-labelledby="parameters">
        <h2 id="parameters">Parameters</h2>
        <dl class="facts">
          <dt>Model</dt><dd>{job.model}{job.precision && `, ${job.precision}`}</dd>
          <dt>Task</dt><dd>{job.task.type}</dd>
          <dt>Input</dt><dd>{source(job)}{job.passed_over > 0 && ` (${count(job.passed_over)} other keys passed over)`}</dd>
          {Object.entries(job.labels).map(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name}=`}>{value}</dd>])}
          <dt>Submitted</dt><dd>{when(job.create_time)}</dd>
          {job.retry_of && [<dt key="of">Retry of</dt>, <dd key="old"><a href={address(`jobs/${job.retry_of}`)}>{job.retry_of}</a></dd>]}
          <dt>ID</dt><dd><code>{job.id}</code></dd>
        </dl>
        <details><summary>Task as JSON</summary><Code text={JSON.stringify(job.task, null, 1)} label="JSON" /></details>
        <details><summary>Submit again with curl</summary><Code text={asCurl(body)} label="curl" /></details>
        <details><summary>Submit again with Python</summary><Code text={asPython(body)} label="Python" /></details>
      </section>
    </div>
  );
}

function source(job: Job): string {
  const { prefix, glob, manifest } = job.input as Record<string, string | undefined>;
  if (manifest) return manifest;
  return prefix ? `${prefix}${glob ? ` ${glob}` : ""}` : "listed in the request";
}

function Failures({ job }: { job: Job }) {
  const most = Math.max(...job.failures.map((each) => each.count));
  return (
    <ul class="bars">
      {job.failures.map(({ reason, count: n }) => (
        <li key={reason}>
          <a href={address(`jobs/${job.id}`, { state: "failed" })}>{reason}</a>
          <span class="bar" aria-hidden="true"><span class="fill failed" style={{ width: `${(100 * n) / most}%` }} /></span>
          <span>{count(n)}</span>
        </li>
      ))}
    </ul>
  );
}

function Images({ job, state }: { job: Job; state: string }) {
  const items = useItems(job, state);
  const total = state ? job.counts[state as keyof typeof job.counts] : job.counts.total;
  return (
    <section aria-labelledby="images">
      <div class="title">
        <h2 id="images">Images</h2>
        <nav class="tabs" aria-label="Images by state">
          <a href={address(`jobs/${job.id}`)} aria-current={state === "" ? "true" : undefined}>all {count(job.counts.total)}</a>
          {ITEM_STATES.filter((each) => job.counts[each] > 0 || each === state).map((each) => (
            <a key={each} href={address(`jobs/${job.id}`, { state: each })} aria-current={state === each ? "true" : undefined}>
              {words(each)} {count(job.counts[each])}
            </a>
          ))}
        </nav>
      </div>
      {items.error && <p class="notice bad" role="alert">{items.error}</p>}
      {total === 0 ? <p class="empty">{job.state === "ingesting" ? "The images are being listed …" : "No images."}</p>
        : <Grid job={job} items={items.items} total={total} turn={items.turn} query={state ? { state } : {}} />}
      <Stages items={items.items.known()} />
    </section>
  );
}
