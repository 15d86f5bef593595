// What a user may do with a job. What cannot be undone asks first, in its place.

import { useState } from "preact/hooks";

import { told } from "../api";
import { cancelJob, deleteJob, type Job, retryable, retryJob } from "../job";
import { address, go } from "../route";

interface Props {
  job: Job;
  changed: (job: Job | null) => void;
  /** Whether it may be deleted here. */
  deletes?: boolean;
}

export function Acts({ job, changed, deletes = false }: Props) {
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const does = (act: () => Promise<void>) => async () => {
    setBusy(true);
    setError(null);
    try {
      await act();
    } catch (failed) {
      setError(told(failed));
    } finally {
      setBusy(false);
    }
  };
  const retry = does(async () => go(address(`jobs/${(await retryJob(job.id)).id}`)));
  const cancel = does(async () => changed(await cancelJob(job.id)));
  const remove = does(async () => {
    await deleteJob(job.id);
    changed(null);
  });
  return (
    <div class="acts">
      {error && <span class="bad" role="alert">{error}</span>}
      {retryable(job) && <button disabled={busy} onClick={retry}>Retry failed</button>}
      {!job.done && <Asking name="Cancel" sure="Cancel the job" busy={busy} act={cancel} />}
      {job.done && deletes && <Asking name="Delete" sure="Delete job and results" busy={busy} act={remove} />}
    </div>
  );
}

function Asking({ name, sure, busy, act }: { name: string; sure: string; busy: boolean; act: () => void }) {
  const [asked, setAsked] = useState(false);
  if (!asked) return <button disabled={busy} onClick={() => setAsked(true)}>{name}</button>;
  return (
    <>
      <button class="danger" disabled={busy} onClick={act} autofocus>{sure}</button>
      <button onClick={() => setAsked(false)}>Keep</button>
    </>
  );
}
