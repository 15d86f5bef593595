// Files to upload: chosen or dropped, and how far each is.

import { useState } from "preact/hooks";

import { bytes, count } from "../format";
import type { Upload } from "../upload";
import type { Uploads } from "./use_uploads";

export function Files({ uploads }: { uploads: Uploads }) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    uploads.add(event.dataTransfer?.files ?? []);
  };
  const choose = (event: Event & { currentTarget: HTMLInputElement }) => {
    uploads.add(event.currentTarget.files ?? []);
    event.currentTarget.value = "";
  };
  return (
    <div class="files" onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)} onDrop={drop}>
      <label class={`drop${over ? " over" : ""}`}>
        Drop images here, or choose them
        <input type="file" multiple accept="image/*,.heic,.heif,.avif,.jp2,.j2k,.tif,.tiff,.pnm,.ppm,.pgm,.pbm,.pam" onChange={choose} />
      </label>
      {uploads.files.length > 0 && <p class="small" role="status">{summary(uploads.files)}</p>}
      <ul class="sent" aria-label="Files" tabIndex={uploads.files.length > 8 ? 0 : undefined}>
        {uploads.files.map((each) => <Row key={each.id} upload={each} uploads={uploads} />)}
      </ul>
      <p class="small dim">They are stored in <code>{uploads.place?.folder}</code> and stay there until somebody removes them.</p>
    </div>
  );
}

function summary(files: Upload[]): string {
  const sent = files.filter((file) => file.state === "sent").length;
  const failed = files.filter((file) => file.state === "failed").length;
  return `${count(sent)} of ${count(files.length)} sent${failed ? `, ${count(failed)} failed: try again, or remove them` : ""}.`;
}

function Row({ upload: { id, file, state, sent, why }, uploads }: { upload: Upload; uploads: Uploads }) {
  return (
    <li>
      <span>{file.name} <span class={state === "failed" ? "bad" : "dim"}>{why ?? (state === "sent" ? "sent" : bytes(file.size))}</span></span>
      <span class="acts">
        {state === "failed" && file.size > 0 && file.size <= (uploads.place?.max_bytes ?? 0) && <button type="button" onClick={() => uploads.again(id)}>Again</button>}
        <button type="button" class="plain" aria-label={`Remove ${file.name}`} onClick={() => uploads.remove(id)}>✕</button>
      </span>
      {(state === "waiting" || state === "sending") && <progress aria-label={`${file.name} sent`} max={file.size} value={sent} />}
    </li>
  );
}
