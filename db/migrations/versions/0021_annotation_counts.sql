-- How many annotations each tenant has, so that a limit is checked without counting them.
CREATE TABLE annotation_counts (
  tenant_id text PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
  n bigint NOT NULL);

-- Triggers, because code of revision 0020 stores annotations too. The API's role may not write the counts itself.
CREATE FUNCTION count_annotations() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO annotation_counts AS c (tenant_id, n)
    SELECT tenant_id, count(*) FROM changed GROUP BY tenant_id ORDER BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET n = c.n + excluded.n;
  ELSE
    UPDATE annotation_counts AS c SET n = c.n - gone.n
    FROM (SELECT tenant_id, count(*) AS n FROM changed GROUP BY tenant_id) AS gone
    WHERE c.tenant_id = gone.tenant_id;
  END IF;
  RETURN NULL;
END $$;

-- No schema of the caller's can stand in for ours.
DO $$
BEGIN
  REVOKE ALL ON FUNCTION count_annotations() FROM PUBLIC;
  EXECUTE format('ALTER FUNCTION count_annotations() SET search_path = %I, pg_temp', current_schema());
END $$;

-- Nothing is stored between the triggers and the first count: they hold the table until the end.
CREATE TRIGGER count_added AFTER INSERT ON annotations REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION count_annotations();
CREATE TRIGGER count_gone AFTER DELETE ON annotations REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION count_annotations();
INSERT INTO annotation_counts (tenant_id, n) SELECT tenant_id, count(*) FROM annotations GROUP BY tenant_id;
