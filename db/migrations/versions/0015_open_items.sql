-- The items of unfinished jobs, less what is tallied: of every tenant, also for a role that sees only one.
CREATE FUNCTION open_items_of_all() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER AS $$
  SELECT coalesce(sum(j.n_items - (SELECT coalesce(sum(t.n), 0) FROM tallies t WHERE t.job_id = j.id)), 0)::bigint
  FROM jobs j WHERE j.state IN ('ingesting', 'pending', 'running')
$$;

-- No schema of the caller's can stand in for ours.
DO $$
BEGIN
  REVOKE ALL ON FUNCTION open_items_of_all() FROM PUBLIC;
  EXECUTE format('ALTER FUNCTION open_items_of_all() SET search_path = %I, pg_temp', current_schema());
END $$;
