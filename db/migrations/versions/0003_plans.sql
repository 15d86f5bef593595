-- No statistics of the job an item, a result or a chunk belongs to. With them a job that is newer than they are seems to
-- have one row, and any index that begins with `job_id` as good as the primary key: reading one item of 60,000 touched
-- 12,371 blocks, and a claim read all results of its job. One of the few large jobs seems to be half the table: then
-- looking for an unfinished chunk read the table from its beginning. Without them a job is taken to be 1/200 of the
-- table, which leads to the key and to the partial indexes, always.
ALTER TABLE items ALTER COLUMN job_id SET STATISTICS 0;
ALTER TABLE results ALTER COLUMN job_id SET STATISTICS 0;
ALTER TABLE chunks ALTER COLUMN job_id SET STATISTICS 0;
ALTER TABLE suspects ALTER COLUMN job_id SET STATISTICS 0;

-- What was gathered before stays until somebody clears it, which Postgres 18 has a function for.
DO $$
BEGIN
  IF to_regproc('pg_clear_attribute_stats') IS NOT NULL THEN
    PERFORM pg_clear_attribute_stats(n.nspname::text, c.relname::text, 'job_id', inherited)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN (VALUES (true), (false)) AS v(inherited)
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
      AND (c.relname IN ('chunks', 'suspects') OR c.relname ~ '^(items|results)(_|$)');
  END IF;
END $$;

-- The indexes of chunks that are open begin like the key and go on like it: with `job_id` alone a claim, which could be
-- planned by any of them, looked through all open chunks of its job for the one it names.
DROP INDEX chunks_busy, chunks_unfinished, chunks_untallied;
CREATE INDEX chunks_busy ON chunks (job_id, chunk_no) WHERE state IN ('dispatched', 'leased');
CREATE INDEX chunks_unfinished ON chunks (job_id, chunk_no) WHERE state IN ('ready', 'dispatched', 'leased');
CREATE INDEX chunks_untallied ON chunks (job_id, chunk_no)
  WHERE NOT tallied AND (fence > 1 OR fence = 1 AND state <> 'cancelled');
