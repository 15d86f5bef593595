// The results as files: made now by the API, and those that the job itself wrote to S3.

import { useState } from "preact/hooks";

import { readFile, told } from "../api";
import { FORMATS, type Job } from "../job";

const ENDINGS: Record<string, string> = { jsonl: "jsonl", tiles: "jsonl", sa1b: "jsonl", parquet: "parquet", geojson: "geojson", gpkg: "gpkg" };

export function Exports({ job }: { job: Job }) {
  const [busy, setBusy] = useState<string | null>(null);
  const [error, setError] = useState<string | null>(null);
  const download = async (format: string) => {
    setBusy(format);
    setError(null);
    try {
      save(await readFile(`v1/jobs/${job.id}/results?format=${format}`), `${job.id}.${format}.${ENDINGS[format] ?? "json"}`);
    } catch (failed) {
      setError(told(failed));
    } finally {
      setBusy(null);
    }
  };
  return (
    <>
      <div class="acts">
        {FORMATS.map((format) => (
          <button key={format} disabled={busy !== null} onClick={() => download(format)}>{busy === format ? "Reading …" : format}</button>
        ))}
      </div>
      {!job.done && <p class="small dim">The job is not done: a file has what is there so far.</p>}
      {error && <p class="bad" role="alert">{error}</p>}
      {job.output && <Written job={job} />}
    </>
  );
}

function Written({ job }: { job: Job }) {
  const { uri, state, error, links } = job.output!;
  return (
    <>
      <p class="small">Written to <code>{uri}</code>: {state}{error && <span class="bad"> ({error.reason})</span>}</p>
      {links && <ul class="small">{links.map((link) => <li key={link.url}><a href={link.url} rel="noreferrer">{link.format ?? "manifest"} {link.number ?? ""}</a></li>)}</ul>}
    </>
  );
}

/** The browser keeps a large file on disk, not in memory. */
function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
