-- {"crs", "transform"} of the upright image, NULL where its file has none.
ALTER TABLE results ADD COLUMN georeference jsonb CHECK (jsonb_typeof(georeference) = 'object');
