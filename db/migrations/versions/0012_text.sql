-- Beside `masks` and not in `mask_row`: a worker of the release before writes that type with the fields it knows.
ALTER TABLE results
  ADD COLUMN phrases text[],
  ADD COLUMN scores real[],
  ADD CHECK (phrases IS NULL OR (cardinality(phrases) = cardinality(masks) AND cardinality(scores) = cardinality(masks)));

CREATE OR REPLACE VIEW masks AS
SELECT r.job_id, r.index, m.id - 1 AS mask_id, r.height, r.width,
       m.area, m.x, m.y, m.w, m.h, m.predicted_iou, m.stability_score, m.point_x, m.point_y,
       m.crop_x, m.crop_y, m.crop_w, m.crop_h, m.prompt,
       CASE r.codec WHEN 0 THEN convert_from(substring(r.rle FROM m."offset" + 1 FOR m.length), 'SQL_ASCII') END AS counts,
       r.phrases[m.id] AS phrase, r.scores[m.id] AS score
FROM results r
CROSS JOIN LATERAL unnest(r.masks) WITH ORDINALITY
  AS m(area, x, y, w, h, predicted_iou, stability_score, point_x, point_y,
       crop_x, crop_y, crop_w, crop_h, prompt, "offset", length, id)
WHERE r.state = 'succeeded';

-- The tasks that a worker serves with this model. A worker of the release before serves these two and does not say so.
ALTER TABLE workers ADD COLUMN tasks text[] NOT NULL DEFAULT '{auto,prompted}' CHECK (cardinality(tasks) > 0);
