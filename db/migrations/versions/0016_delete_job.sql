-- Take a final job from its tenant. No route finds it any more, and the leader removes its rows, a few at a time. What it
-- still had to send or to write ends at once. False: not a job of this tenant, or not final.
--
-- A function, because the API's role may not write a job that it cannot see afterwards.
CREATE FUNCTION delete_job(of_tenant text, of_job uuid) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
  WITH gone AS (
    UPDATE jobs SET tenant_id = NULL
    WHERE id = of_job AND tenant_id = of_tenant AND ended_at IS NOT NULL
      AND (nullif(current_setting('maskworks.tenants', true), '') IS NULL
        OR tenant_id = ANY (current_setting('maskworks.tenants', true)::text[]))
    RETURNING id),
  no_output AS (DELETE FROM outputs WHERE job_id = (SELECT id FROM gone)),
  no_webhook AS (DELETE FROM webhooks WHERE job_id = (SELECT id FROM gone))
  SELECT EXISTS (SELECT FROM gone)
$$;

-- No schema of the caller's can stand in for ours.
DO $$
BEGIN
  REVOKE ALL ON FUNCTION delete_job(text, uuid) FROM PUBLIC;
  EXECUTE format('ALTER FUNCTION delete_job(text, uuid) SET search_path = %I, pg_temp', current_schema());
END $$;
