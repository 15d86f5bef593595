-- `ingest_token` is the store's own continuation token: stores exist that ignore `start-after` or do not sort.
ALTER TABLE jobs
  ADD COLUMN ingest_token text,
  ADD COLUMN ingest_pages integer NOT NULL DEFAULT 0 CHECK (ingest_pages >= 0),
  ADD COLUMN ingest_mark bytea,
  ADD COLUMN n_passed_over bigint NOT NULL DEFAULT 0 CHECK (n_passed_over >= 0),
  ADD COLUMN waiting_for text,
  ADD COLUMN waiting_detail text,
  ADD COLUMN waiting_since timestamptz,
  ADD CHECK ((waiting_for IS NULL) = (waiting_since IS NULL));

-- A list of {"code", "detail", "prompt_id"}, NULL where there is nothing to say; `frames` counts the images in the file.
ALTER TABLE results
  ADD COLUMN warnings jsonb CHECK (jsonb_typeof(warnings) = 'array'),
  ADD COLUMN frames integer CHECK (frames > 0);
