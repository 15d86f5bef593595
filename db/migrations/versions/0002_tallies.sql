-- One row for what succeeded (reason '') and one for each failure reason, of the chunks that are `tallied`.
CREATE TABLE tallies (
  job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
  reason text NOT NULL,
  n integer NOT NULL CHECK (n > 0),
  PRIMARY KEY (job_id, reason)
) WITH (fillfactor = 50);

ALTER TABLE chunks
  ADD COLUMN tallied boolean NOT NULL DEFAULT false,
  ADD CHECK (NOT tallied OR state IN ('done', 'dead', 'cancelled'));

-- Chunks that can hold counts or a lease: ever claimed, not yet tallied. A cancel raises the fence of a chunk that was
-- never claimed to 1. `fence` and `state` change together, at a claim or an ending; `n_ok` and `n_err` must stay out
-- of here, so that counting a batch remains a HOT update.
CREATE INDEX chunks_untallied ON chunks (job_id)
  WHERE NOT tallied AND (fence > 1 OR fence = 1 AND state <> 'cancelled');

-- What is in a tally stays as it was counted, whatever the code above believes.
CREATE FUNCTION refuse_recounting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'chunk %/% is tallied: its counts are final', OLD.job_id, OLD.chunk_no
    USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER chunks_tallied BEFORE UPDATE OF n_ok, n_err, reasons, tallied ON chunks FOR EACH ROW
  WHEN (OLD.tallied) EXECUTE FUNCTION refuse_recounting();
