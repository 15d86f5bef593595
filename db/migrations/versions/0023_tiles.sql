-- A job of tiles: the windows of one item, of which it makes the result. No route finds it.
ALTER TABLE jobs
  ADD COLUMN tile_of uuid,
  ADD COLUMN tile_index integer CHECK (tile_index >= 0),
  ADD CHECK ((tile_of IS NULL) = (tile_index IS NULL));
CREATE UNIQUE INDEX jobs_tiles ON jobs (tile_of, tile_index) WHERE tile_of IS NOT NULL AND tenant_id IS NOT NULL;

-- What an item asks for, "auto" or {"size", "overlap"}; of a tile its window, {"window": [x, y, width, height]}.
ALTER TABLE items ADD COLUMN tile jsonb;

-- Every missing item of a parked chunk waits for its tiles.
ALTER TABLE chunks ADD COLUMN parked boolean NOT NULL DEFAULT false;

-- Beside `masks` and not in `mask_row`, whose areas have 32 bits. NULL where those are enough.
ALTER TABLE results
  ADD COLUMN areas bigint[],
  ADD CHECK (areas IS NULL OR cardinality(areas) = cardinality(masks));

CREATE OR REPLACE VIEW masks AS
SELECT r.job_id, r.index, m.id - 1 AS mask_id, r.height, r.width,
       m.area, m.x, m.y, m.w, m.h, m.predicted_iou, m.stability_score, m.point_x, m.point_y,
       m.crop_x, m.crop_y, m.crop_w, m.crop_h, m.prompt,
       CASE r.codec WHEN 0 THEN convert_from(substring(r.rle FROM m."offset" + 1 FOR m.length), 'SQL_ASCII') END AS counts,
       r.phrases[m.id] AS phrase, r.scores[m.id] AS score, coalesce(r.areas[m.id], m.area) AS pixels
FROM results r
CROSS JOIN LATERAL unnest(r.masks) WITH ORDINALITY
  AS m(area, x, y, w, h, predicted_iou, stability_score, point_x, point_y,
       crop_x, crop_y, crop_w, crop_h, prompt, "offset", length, id)
WHERE r.state = 'succeeded';

-- As before, and tiles are no items of their tenant.
CREATE OR REPLACE FUNCTION open_items_of_all() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER AS $$
  SELECT coalesce(sum(j.n_items - (SELECT coalesce(sum(t.n), 0) FROM tallies t WHERE t.job_id = j.id)), 0)::bigint
  FROM jobs j WHERE j.state IN ('ingesting', 'pending', 'running') AND j.tile_of IS NULL
$$;
CREATE OR REPLACE FUNCTION delete_job(of_tenant text, of_job uuid) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
  WITH gone AS (
    UPDATE jobs SET tenant_id = NULL
    WHERE id = of_job AND tenant_id = of_tenant AND ended_at IS NOT NULL AND tile_of IS NULL
      AND (nullif(current_setting('maskworks.tenants', true), '') IS NULL
        OR tenant_id = ANY (current_setting('maskworks.tenants', true)::text[]))
    RETURNING id),
  no_output AS (DELETE FROM outputs WHERE job_id = (SELECT id FROM gone)),
  no_webhook AS (DELETE FROM webhooks WHERE job_id = (SELECT id FROM gone))
  SELECT EXISTS (SELECT FROM gone)
$$;
DO $$
BEGIN
  EXECUTE format('ALTER FUNCTION open_items_of_all() SET search_path = %I, pg_temp', current_schema());
  EXECUTE format('ALTER FUNCTION delete_job(text, uuid) SET search_path = %I, pg_temp', current_schema());
END $$;
