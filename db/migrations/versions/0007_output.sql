CREATE TYPE output_state AS ENUM ('pending', 'writing', 'complete', 'failed');

-- No row of the outbox: whoever ends a job, also a worker of the release before, need not know that it has an output.
CREATE TABLE outputs (
  job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
  uri text NOT NULL CHECK (uri ~ '^s3://[^/]+/(.*/)?$'),
  formats text[] NOT NULL CHECK (cardinality(formats) > 0),
  state output_state NOT NULL DEFAULT 'pending',
  fence bigint NOT NULL DEFAULT 0,
  holder text,
  lease_until timestamptz,
  run_after timestamptz,
  tries integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
  failing_since timestamptz,
  error_reason text,
  error_detail text,
  ended_at timestamptz,
  CHECK ((state = 'writing') = (holder IS NOT NULL)),
  CHECK ((state = 'writing') = (lease_until IS NOT NULL)),
  CHECK ((state IN ('complete', 'failed')) = (ended_at IS NOT NULL)),
  CHECK (state <> 'failed' OR error_reason IS NOT NULL),
  CHECK (state <> 'complete' OR error_reason IS NULL)
) WITH (fillfactor = 60);
CREATE INDEX outputs_open ON outputs (job_id) WHERE state IN ('pending', 'writing');

-- One row for each file that is whole in the bucket. `start` and `stop` are item indexes.
CREATE TABLE output_shards (
  job_id uuid NOT NULL REFERENCES outputs ON DELETE CASCADE,
  format text NOT NULL,
  number integer NOT NULL CHECK (number >= 0),
  start integer NOT NULL CHECK (start >= 0),
  stop integer NOT NULL CHECK (stop >= start),
  name text NOT NULL,
  size bigint NOT NULL CHECK (size >= 0),
  sha256 bytea NOT NULL CHECK (length(sha256) = 32),
  PRIMARY KEY (job_id, format, number));

-- What a manifest names stays as it is.
CREATE TRIGGER outputs_final BEFORE UPDATE OF state ON outputs FOR EACH ROW
  WHEN (OLD.state = 'complete' AND NEW.state IS DISTINCT FROM OLD.state)
  EXECUTE FUNCTION refuse_leaving_final();
