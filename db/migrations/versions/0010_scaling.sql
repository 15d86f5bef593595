-- What recent items took, in seconds of a worker, by model and type of task. A worker writes its own rows only. The two
-- sums forget: each half of an hour's quarter counts half (`workers.chunks.paces`).
CREATE TABLE paces (
  worker text NOT NULL,
  model text NOT NULL,
  task text NOT NULL,
  items double precision NOT NULL CHECK (items > 0),
  seconds double precision NOT NULL CHECK (seconds > 0),
  measured_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (worker, model, task)
) WITH (fillfactor = 50);

-- For each model with open jobs: unfinished items, those in work included; the seconds that one worker would need for
-- them; the age of the oldest of these jobs; and how many workers are wanted:
--
--   ceil(max(seconds / drain_seconds,
--            over jobs with a deadline: seconds of all jobs due by then / (deadline - now - cold_start_seconds)))
--
-- An item takes what items of its model and type of task took lately. "Lately" ends with the last measure, so a model that
-- was scaled to zero keeps its pace. Without a measure it takes what other items of its model took. A model of which nothing
-- is known wants four workers at most, as if an item took a second: its first measure comes with its first items.
CREATE FUNCTION work_left(drain_seconds double precision DEFAULT 1800, cold_start_seconds double precision DEFAULT 300)
RETURNS TABLE (
  model text, items bigint, seconds double precision, oldest_seconds double precision, wanted_workers integer)
LANGUAGE sql STABLE SECURITY DEFINER AS $$
  WITH open_jobs AS (
    SELECT j.model, j.task ->> 'type' AS task, j.deadline, j.created_at, j.n_items
      - (SELECT coalesce(sum(t.n), 0) FROM tallies t WHERE t.job_id = j.id)
      - (SELECT coalesce(sum(c.n_ok + c.n_err), 0) FROM chunks c
          WHERE c.job_id = j.id AND NOT c.tallied AND (c.fence > 1 OR c.fence = 1 AND c.state <> 'cancelled')) AS items
    FROM jobs j
    WHERE j.state IN ('pending', 'running') AND (j.deadline IS NULL OR j.deadline > clock_timestamp())),
  last AS (SELECT p.model, p.task, max(p.measured_at) AS at FROM paces p GROUP BY p.model, p.task),
  recent AS (
    SELECT p.model, p.task, sum(p.seconds) AS seconds, sum(p.items) AS items
    FROM paces p JOIN last l ON l.model = p.model AND l.task = p.task AND p.measured_at > l.at - interval '15 minutes'
    GROUP BY p.model, p.task),
  work AS (
    SELECT o.model, o.deadline, o.created_at, o.items, o.items * coalesce(
      (SELECT r.seconds / r.items FROM recent r WHERE r.model = o.model AND r.task = o.task),
      (SELECT sum(r.seconds) / sum(r.items) FROM recent r WHERE r.model = o.model), 1) AS seconds
    FROM open_jobs o WHERE o.items > 0),
  due AS (
    SELECT w.model, w.deadline, sum(w.seconds) OVER (PARTITION BY w.model ORDER BY w.deadline) AS seconds
    FROM work w WHERE w.deadline IS NOT NULL),
  urgent AS (
    -- Less than a minute to compute in is taken for a minute: more workers would come too late.
    SELECT d.model, max(d.seconds
      / greatest(60, extract(epoch FROM d.deadline - clock_timestamp()) - cold_start_seconds)) AS workers
    FROM due d GROUP BY d.model)
  SELECT w.model, sum(w.items)::bigint, sum(w.seconds)::double precision,
    extract(epoch FROM clock_timestamp() - min(w.created_at))::double precision,
    least(sum(w.items), ceil(greatest(sum(w.seconds) / greatest(drain_seconds, 1), max(u.workers))),
      CASE WHEN EXISTS (SELECT FROM recent r WHERE r.model = w.model) THEN 1000000 ELSE 4 END)::integer
  FROM work w LEFT JOIN urgent u ON u.model = w.model
  GROUP BY w.model
$$;

-- What an autoscaler asks.
CREATE FUNCTION wanted_workers(
  of_model text, drain_seconds double precision DEFAULT 1800, cold_start_seconds double precision DEFAULT 300)
RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER AS $$
  SELECT coalesce(
    (SELECT w.wanted_workers FROM work_left(drain_seconds, cold_start_seconds) w WHERE w.model = of_model), 0)
$$;

-- They read as their owner, so that a role that may do nothing else may call them. Nobody may unless it is granted, and
-- no schema of the caller's can stand in for ours.
DO $$
DECLARE f regprocedure;
BEGIN
  FOR f IN SELECT oid FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
      AND proname IN ('work_left', 'wanted_workers') LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', f, current_schema());
  END LOOP;
END $$;
