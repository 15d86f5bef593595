-- A job without a tenant is nobody's: no route finds it, and the leader removes its rows.
ALTER TABLE jobs
  ALTER COLUMN tenant_id DROP NOT NULL,
  ADD CHECK (tenant_id IS NOT NULL OR ended_at IS NOT NULL);
CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at IS NOT NULL AND tenant_id IS NOT NULL;
