CREATE TYPE webhook_state AS ENUM ('pending', 'delivered', 'failed', 'disabled', 'skipped');

CREATE TABLE webhooks (
  job_id uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
  url text NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
  events text[] NOT NULL CHECK (cardinality(events) > 0),
  state webhook_state NOT NULL DEFAULT 'pending',
  fence bigint NOT NULL DEFAULT 0,
  tries integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
  lease_until timestamptz,
  run_after timestamptz,
  CHECK (state = 'pending' OR (lease_until IS NULL AND run_after IS NULL))
) WITH (fillfactor = 60);
CREATE INDEX webhooks_pending ON webhooks (job_id) WHERE state = 'pending';

-- The log of a job's deliveries.
CREATE TABLE webhook_tries (
  job_id uuid NOT NULL REFERENCES webhooks ON DELETE CASCADE,
  number integer NOT NULL CHECK (number >= 1),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  status integer,
  error text,
  duration_ms integer NOT NULL CHECK (duration_ms >= 0),
  PRIMARY KEY (job_id, number),
  CHECK (status IS NOT NULL OR error IS NOT NULL));

-- The secret is HMAC-SHA256(pepper, seed). It is not stored.
CREATE TABLE webhook_secrets (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  seed bytea NOT NULL CHECK (length(seed) = 32),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz);
CREATE INDEX webhook_secrets_of_tenant ON webhook_secrets (tenant_id);
