// Submit a job. The API checks it, as it checks every job, and its findings stand beside the form.

import { useState } from "preact/hooks";

import { read, Refused, told } from "../api";
import { bodyOfDraft, type Draft, EMPTY, PARAMETERS } from "../draft";
import { count } from "../format";
import type { Job } from "../job";
import { serves } from "../model";
import { Code } from "../parts/copy";
import { Files } from "../parts/files";
import { useModels } from "../parts/use_models";
import { type Uploads, useUploads } from "../parts/use_uploads";
import { address, go } from "../route";
import { asCurl } from "../submission";

interface Finding {
  pointer: string;
  detail: string;
}

interface Checked {
  valid: boolean;
  counts: Record<string, number | null>;
  errors: Finding[];
}

type Change = (changes: Partial<Draft>) => void;

/** Browsers have `crypto.randomUUID` only where pages come over TLS or from this machine. */
const newKey = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-");

export function SubmitPage() {
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [said, setSaid] = useState<string | null>(null);
  const [findings, setFindings] = useState<Finding[]>([]);
  const [busy, setBusy] = useState(false);
  const { models, error } = useModels();
  const uploads = useUploads();
  const unsent = draft.source === "upload" && (uploads.stored === null || uploads.stored.length === 0);
  const model = models.find((each) => (draft.model ? each.name === draft.model : each.default));
  const change: Change = (changes) => setDraft({ ...draft, ...changes });
  const send = async (act: (body: Record<string, unknown>) => Promise<void>) => {
    setBusy(true);
    setSaid(null);
    setFindings([]);
    try {
      await act(bodyOfDraft(draft, uploads.stored ?? []));
    } catch (failed) {
      if (failed instanceof Refused && failed.errors?.length) setFindings(failed.errors);
      else setSaid(failed instanceof SyntaxError ? `The prompts are not JSON: ${failed.message}` : told(failed));
    } finally {
      setBusy(false);
    }
  };
  const check = (body: Record<string, unknown>) =>
    read<Checked>("v1/jobs", { method: "POST", json: { ...body, validate_only: true } }).then((found) => {
      setFindings(found.errors);
      if (found.valid) setSaid(`The request is valid${found.counts.items ? `: ${count(found.counts.items)} images` : ""}.`);
    });
  const submit = (body: Record<string, unknown>) =>
    read<Job>("v1/jobs", { method: "POST", json: body, headers: { "Idempotency-Key": newKey() } }).then((job) => go(address(`jobs/${job.id}`)));
  return (
    <>
      <div class="title"><h1>Submit a job</h1></div>
      {error && <p class="notice bad" role="alert">{error}</p>}
      <form class="card draft" onSubmit={(event) => { event.preventDefault(); void send(submit); }}>
        <Source draft={draft} change={change} uploads={uploads} />
        <Task draft={draft} change={change} models={models.map((each) => each.name)} text={serves(model, "text")} />
        <fieldset>
          <legend>More</legend>
          <label>Name<input value={draft.name} onInput={(e) => change({ name: e.currentTarget.value })} /></label>
          <label>Labels<input value={draft.labels} placeholder="run=7, camera=north" onInput={(e) => change({ labels: e.currentTarget.value })} /></label>
          <label>Also write COCO to<input value={draft.output} placeholder="s3://bucket/out/" onInput={(e) => change({ output: e.currentTarget.value })} /></label>
        </fieldset>
        {model && !model.loaded && <p class="notice">No worker has {model.name} loaded now. The job waits until one has.</p>}
        {said && <p class="notice" role="status">{said}</p>}
        {findings.length > 0 && (
          <ul class="notice bad" role="alert">{findings.map(({ pointer, detail }) => <li key={pointer + detail}><code>{pointer || "/"}</code> {detail}</li>)}</ul>
        )}
        <div class="acts">
          <button class="primary" disabled={busy || unsent}>Submit</button>
          <button type="button" disabled={busy || unsent} onClick={() => void send(check)}>Check</button>
        </div>
        <details><summary>The request</summary><Request draft={draft} uploads={uploads} /></details>
      </form>
    </>
  );
}

function Request({ draft, uploads }: { draft: Draft; uploads: Uploads }) {
  try {
    return <Code text={asCurl(bodyOfDraft(draft, uploads.stored ?? []))} label="curl" />;
  } catch (error) {
    return <p class="bad">{String(error)}</p>;
  }
}

function Source({ draft, change, uploads }: { draft: Draft; change: Change; uploads: Uploads }) {
  return (
    <fieldset>
      <legend>Images</legend>
      <label>
        From
        <select value={draft.source} onChange={(e) => change({ source: e.currentTarget.value as Draft["source"] })}>
          <option value="prefix">a prefix in a bucket</option>
          <option value="upload" disabled={!uploads.place?.enabled}>files on this device{uploads.place && !uploads.place.enabled ? " (not taken here)" : ""}</option>
          <option value="images">a list</option>
          <option value="manifest">a manifest</option>
        </select>
      </label>
      {draft.source === "images" && (
        <label>One address on each line<textarea rows={5} required value={draft.images} placeholder="s3://bucket/image.jpg" onInput={(e) => change({ images: e.currentTarget.value })} /></label>
      )}
      {draft.source === "upload" && <Files uploads={uploads} />}
      {(draft.source === "prefix" || draft.source === "manifest") && (
        <label>
          {draft.source === "prefix" ? "Prefix" : "Manifest"}
          <input required value={draft.place} placeholder={draft.source === "prefix" ? "s3://bucket/photos/" : "s3://bucket/items.jsonl"} onInput={(e) => change({ place: e.currentTarget.value })} />
        </label>
      )}
      {draft.source === "prefix" && (
        <label>Glob<input value={draft.glob} placeholder="every image" onInput={(e) => change({ glob: e.currentTarget.value })} /></label>
      )}
    </fieldset>
  );
}

function Task({ draft, change, models, text }: { draft: Draft; change: Change; models: string[]; text: boolean }) {
  return (
    <fieldset>
      <legend>Task</legend>
      <label>
        Model
        <select value={draft.model} onChange={(e) => change({ model: e.currentTarget.value })}>
          <option value="">default</option>
          {models.map((name) => <option key={name}>{name}</option>)}
        </select>
      </label>
      <label>
        Segment
        <select value={draft.task} onChange={(e) => change({ task: e.currentTarget.value as Draft["task"] })}>
          <option value="auto">everything</option>
          <option value="text" disabled={!text}>what phrases name{text ? "" : " (no worker serves it)"}</option>
          <option value="prompted">what points and boxes ask for</option>
        </select>
      </label>
      {draft.task === "auto" && PARAMETERS.map(({ name, label, step }) => (
        <label key={name}>
          {label}
          <input type="number" step={step} min="0" value={draft.parameters[name] ?? ""} placeholder="default"
            onInput={(e) => change({ parameters: { ...draft.parameters, [name]: e.currentTarget.value } })} />
        </label>
      ))}
      {draft.task === "text" && (
        <label>One phrase on each line<textarea rows={3} required value={draft.phrases} onInput={(e) => change({ phrases: e.currentTarget.value })} /></label>
      )}
      {draft.task === "prompted" && (
        <label>Prompts for every image, as JSON<textarea rows={5} required value={draft.prompts} placeholder='[{"points": [[500, 375]], "labels": [1]}]' onInput={(e) => change({ prompts: e.currentTarget.value })} /></label>
      )}
    </fieldset>
  );
}
