-- What a worker reports of itself with each sign of life. One of the release before reports nothing.
ALTER TABLE workers
  ADD COLUMN rss_bytes bigint,
  ADD COLUMN gpu_name text,
  ADD COLUMN gpu_used_bytes bigint,
  ADD COLUMN gpu_total_bytes bigint,
  ADD COLUMN images_per_second real,
  ADD COLUMN calls integer,
  ADD COLUMN work jsonb CHECK (jsonb_typeof(work) = 'array');
