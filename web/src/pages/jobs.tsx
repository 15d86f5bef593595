// The list of jobs, newest first. It is read again every two seconds while somebody looks at it.

import { ago, count, duration, rate, words } from "../format";
import { type Job, JOB_STATES, labelOf, listJobs, retryable } from "../job";
import { Acts } from "../parts/acts";
import { Progress, State } from "../parts/progress";
import { usePolled } from "../parts/use_polled";
import { address, replace } from "../route";

const PAUSE = 2000;
const PAGE = 25;

export function JobsPage({ query }: { query: URLSearchParams }) {
  const state = query.get("state") ?? "";
  const label = query.get("label") ?? "";
  const from = query.get("from") ?? "";
  const wanted = asked(state, label, from);
  const { value: page, error, again } = usePolled((signal) => listJobs(wanted, signal), PAUSE, wanted);
  const show = (changes: Record<string, string>) => replace(address("jobs", { state, label, ...changes }));
  return (
    <>
      <div class="title">
        <h1>Jobs</h1>
        <Filters state={state} label={label} show={show} />
      </div>
      {error && <p class="notice bad" role="alert">{error}</p>}
      {page === null && !error && <p class="empty" role="status">Reading jobs …</p>}
      {page !== null && (page.jobs.length ? <List jobs={page.jobs} again={again} /> : <Empty filtered={Boolean(state || label || from)} />)}
      <nav class="pager" aria-label="More jobs">
        {from && <a href={address("jobs", { state, label })}>Newest</a>}
        {page?.next_page_token && <a href={address("jobs", { state, label, from: page.next_page_token })}>Older</a>}
      </nav>
    </>
  );
}

function asked(state: string, label: string, from: string): string {
  const query = new URLSearchParams({ page_size: String(PAGE) });
  if (state) query.set("state", state);
  if (from) query.set("page_token", from);
  const [name, value] = labelOf(label);
  if (name && label.includes("=")) query.set(`label.${name}`, value);
  return query.toString();
}

function Filters({ state, label, show }: { state: string; label: string; show: (changes: Record<string, string>) => void }) {
  return (
    <form class="filters" onSubmit={(event) => event.preventDefault()}>
      <label>
        State
        <select value={state} onChange={(e) => show({ state: e.currentTarget.value })}>
          <option value="">all</option>
          {JOB_STATES.map((each) => <option key={each} value={each}>{words(each)}</option>)}
        </select>
      </label>
      <label>
        Label
        <input value={label} placeholder="run=7" size={12} pattern="[^=]+=.*" onChange={(e) => show({ label: e.currentTarget.value.trim() })} />
      </label>
    </form>
  );
}

function List({ jobs, again }: { jobs: Job[]; again: () => void }) {
  return <ul class="jobs">{jobs.map((job) => <Row key={job.id} job={job} again={again} />)}</ul>;
}

function Row({ job, again }: { job: Job; again: () => void }) {
  const ended = job.counts.total - job.counts.pending - job.counts.running;
  return (
    <li class="card job">
      <div class="line">
        <a class="name" href={address(`jobs/${job.id}`)}>{job.name ?? job.id}</a>
        <State state={job.state} />
      </div>
      <Progress counts={job.counts} />
      <div class="line small">
        <span>{count(ended)} of {count(job.counts.total)} images{job.counts.failed > 0 && <span class="bad"> · {count(job.counts.failed)} failed</span>}</span>
        <span>{job.model} · {job.task.type}</span>
        {!job.done && <span>{rate(job.progress.items_per_second)}{job.progress.eta_seconds !== null && ` · ${duration(job.progress.eta_seconds)} left`}</span>}
        {job.waiting_for && <span class="bad">waiting: {words(job.waiting_for).toLowerCase()}</span>}
        <time dateTime={job.create_time} title={job.create_time}>{ago(job.create_time)}</time>
        {(!job.done || retryable(job)) && <Acts job={job} changed={again} />}
      </div>
    </li>
  );
}

function Empty({ filtered }: { filtered: boolean }) {
  if (filtered) return <p class="empty">No job is like that. <a href={address("jobs")}>Show all</a></p>;
  return <p class="empty">There are no jobs yet. <a href={address("submit")}>Submit one</a></p>;
}
