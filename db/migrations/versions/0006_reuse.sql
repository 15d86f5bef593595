ALTER TABLE jobs ADD COLUMN reuse boolean NOT NULL DEFAULT false;

-- Results with the same fingerprint have the same masks. A result that was taken over names the item that was computed,
-- which may be deleted since.
ALTER TABLE results
  ADD COLUMN fingerprint bytea CHECK (length(fingerprint) = 16),
  ADD COLUMN reused_job uuid,
  ADD COLUMN reused_index integer,
  ADD CHECK ((reused_job IS NULL) = (reused_index IS NULL));

-- Reads the rows that there are once, and writes none of them: none has a fingerprint yet.
CREATE INDEX results_by_fingerprint ON results (fingerprint) WHERE fingerprint IS NOT NULL;
