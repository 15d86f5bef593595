CREATE TYPE job_state AS ENUM
  ('ingesting', 'pending', 'running', 'succeeded', 'partially_succeeded', 'failed', 'cancelled', 'expired');
CREATE TYPE chunk_state AS ENUM ('ready', 'dispatched', 'leased', 'done', 'dead', 'cancelled');
CREATE TYPE result_state AS ENUM ('succeeded', 'failed');
CREATE TYPE mask_row AS (
  area integer, x integer, y integer, w integer, h integer,
  predicted_iou real, stability_score real, point_x double precision, point_y double precision,
  crop_x integer, crop_y integer, crop_w integer, crop_h integer,
  prompt text, "offset" integer, length integer);

CREATE TABLE tenants (
  id text PRIMARY KEY,
  weight real NOT NULL DEFAULT 1 CHECK (weight > 0),
  max_open_items bigint CHECK (max_open_items >= 0),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp());
INSERT INTO tenants (id) VALUES ('default');

CREATE TABLE api_keys (
  prefix text PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants,
  digest bytea NOT NULL CHECK (length(digest) = 32),
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz);

CREATE TABLE jobs (
  id uuid PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants,
  state job_state NOT NULL,
  name text,
  labels jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
  model text NOT NULL,
  precision text CHECK (precision IN ('exact', 'fast')),
  priority smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 0 AND 9),
  task jsonb NOT NULL,
  input jsonb NOT NULL,
  n_items integer NOT NULL DEFAULT 0 CHECK (n_items >= 0),
  chunk_size integer NOT NULL DEFAULT 1 CHECK (chunk_size > 0),
  ingest_cursor text,
  deadline timestamptz,
  max_failure_ratio real CHECK (max_failure_ratio BETWEEN 0 AND 1),
  retry_of uuid,
  idempotency_key text,
  request_sha256 bytea,
  error_reason text,
  error_detail text,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at timestamptz,
  ended_at timestamptz,
  UNIQUE (tenant_id, idempotency_key),
  CHECK ((idempotency_key IS NULL) = (request_sha256 IS NULL)),
  CHECK ((state IN ('succeeded', 'partially_succeeded', 'failed', 'cancelled', 'expired')) = (ended_at IS NOT NULL)),
  CHECK (state <> 'running' OR started_at IS NOT NULL),
  CHECK (state NOT IN ('pending', 'running', 'succeeded', 'partially_succeeded') OR n_items > 0)
) WITH (fillfactor = 80);
CREATE INDEX jobs_unfinished ON jobs (state) WHERE state IN ('ingesting', 'pending', 'running');
CREATE INDEX jobs_by_tenant ON jobs (tenant_id, id);
CREATE INDEX jobs_by_label ON jobs USING gin (labels jsonb_path_ops);

CREATE TABLE items (
  job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
  index integer NOT NULL CHECK (index >= 0),
  custom_id text NOT NULL,
  image text NOT NULL,
  prompts jsonb,
  PRIMARY KEY (job_id, index),
  UNIQUE (job_id, custom_id)
) PARTITION BY RANGE (job_id);
CREATE TABLE items_default PARTITION OF items DEFAULT;

CREATE TABLE chunks (
  job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
  chunk_no integer NOT NULL,
  lo integer NOT NULL,
  hi integer NOT NULL,
  state chunk_state NOT NULL DEFAULT 'ready',
  fence bigint NOT NULL DEFAULT 0,
  attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  stalls integer NOT NULL DEFAULT 0 CHECK (stalls >= 0),
  run_after timestamptz,
  dispatched_at timestamptz,
  worker text,
  lease_until timestamptz,
  inflight integer[] NOT NULL DEFAULT '{}' CHECK (cardinality(inflight) <= 32),
  alone boolean NOT NULL DEFAULT false,
  n_ok integer NOT NULL DEFAULT 0 CHECK (n_ok >= 0),
  n_err integer NOT NULL DEFAULT 0 CHECK (n_err >= 0),
  reasons jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (job_id, chunk_no),
  CHECK (0 <= lo AND lo < hi),
  CHECK (n_ok + n_err <= hi - lo),
  CHECK (state NOT IN ('done', 'dead') OR n_ok + n_err = hi - lo),
  CHECK ((state = 'leased') = (worker IS NOT NULL)),
  CHECK ((state = 'leased') = (lease_until IS NOT NULL)),
  CHECK (state = 'leased' OR cardinality(inflight) = 0),
  CHECK (NOT alone OR cardinality(inflight) = 1),
  CHECK (state <> 'dispatched' OR dispatched_at IS NOT NULL)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX chunks_ready ON chunks (job_id, chunk_no) WHERE state = 'ready';
CREATE INDEX chunks_busy ON chunks (job_id) WHERE state IN ('dispatched', 'leased');
CREATE INDEX chunks_unfinished ON chunks (job_id) WHERE state IN ('ready', 'dispatched', 'leased');

CREATE TABLE suspects (
  job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
  index integer NOT NULL,
  deaths smallint NOT NULL DEFAULT 0 CHECK (deaths >= 0),
  PRIMARY KEY (job_id, index));

CREATE TABLE results (
  job_id uuid NOT NULL,
  index integer NOT NULL,
  state result_state NOT NULL,
  fence bigint NOT NULL,
  attempt integer NOT NULL,
  reason text,
  detail text,
  retryable boolean,
  height integer,
  width integer,
  orientation smallint CHECK (orientation BETWEEN 1 AND 8),
  masks mask_row[],
  rle bytea,
  codec smallint NOT NULL DEFAULT 0 CHECK (codec IN (0, 1)),
  model text,
  model_revision text,
  precision text,
  timings_ms jsonb,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job_id, index),
  CHECK ((state = 'failed') = (reason IS NOT NULL)),
  CHECK ((state = 'failed') = (retryable IS NOT NULL)),
  CHECK ((state = 'succeeded') = (masks IS NOT NULL AND rle IS NOT NULL AND height IS NOT NULL AND width IS NOT NULL))
) PARTITION BY RANGE (job_id);
CREATE TABLE results_default PARTITION OF results DEFAULT;

CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
  kind text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  delivered_at timestamptz,
  UNIQUE (job_id, kind));

CREATE TABLE workers (
  id text NOT NULL,
  model text NOT NULL,
  model_revision text NOT NULL,
  device text NOT NULL,
  precision text NOT NULL,
  slots integer NOT NULL CHECK (slots > 0),
  loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (id, model));

CREATE TABLE leader (
  role text PRIMARY KEY,
  holder text NOT NULL,
  term bigint NOT NULL,
  lease_until timestamptz NOT NULL);

-- A final state is final, whatever the code above believes.
CREATE FUNCTION refuse_leaving_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% % is final: it can not become %', TG_TABLE_NAME, OLD.state, NEW.state
    USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER jobs_final BEFORE UPDATE OF state ON jobs FOR EACH ROW
  WHEN (OLD.state IN ('succeeded', 'partially_succeeded', 'failed', 'cancelled', 'expired')
        AND NEW.state IS DISTINCT FROM OLD.state)
  EXECUTE FUNCTION refuse_leaving_final();
CREATE TRIGGER chunks_final BEFORE UPDATE OF state ON chunks FOR EACH ROW
  WHEN (OLD.state IN ('done', 'dead', 'cancelled') AND NEW.state IS DISTINCT FROM OLD.state)
  EXECUTE FUNCTION refuse_leaving_final();

-- One row per mask, its COCO counts in plain SQL (zlib-coded archives read as NULL here).
CREATE VIEW masks AS
SELECT r.job_id, r.index, m.id - 1 AS mask_id, r.height, r.width,
       m.area, m.x, m.y, m.w, m.h, m.predicted_iou, m.stability_score, m.point_x, m.point_y,
       m.crop_x, m.crop_y, m.crop_w, m.crop_h, m.prompt,
       CASE r.codec WHEN 0 THEN convert_from(substring(r.rle FROM m."offset" + 1 FOR m.length), 'SQL_ASCII') END AS counts
FROM results r
CROSS JOIN LATERAL unnest(r.masks) WITH ORDINALITY
  AS m(area, x, y, w, h, predicted_iou, stability_score, point_x, point_y,
       crop_x, crop_y, crop_w, crop_h, prompt, "offset", length, id)
WHERE r.state = 'succeeded';
