CREATE TYPE annotation_state AS ENUM ('accepted', 'rejected', 'corrected');
CREATE TYPE annotation_stage AS ENUM ('assisted', 'semi_automatic', 'automatic');

-- No reference to jobs: an annotation outlives the job that its mask comes from.
CREATE TABLE annotations (
  tenant_id text NOT NULL REFERENCES tenants ON DELETE CASCADE,
  id uuid NOT NULL,
  image text NOT NULL CHECK (octet_length(image) BETWEEN 1 AND 2048),
  height integer NOT NULL CHECK (height >= 1),
  width integer NOT NULL CHECK (width >= 1),
  counts text NOT NULL CHECK (octet_length(counts) BETWEEN 1 AND 131072),
  area integer NOT NULL CHECK (area >= 1),
  bbox integer[] NOT NULL CHECK (cardinality(bbox) = 4),
  state annotation_state NOT NULL,
  stage annotation_stage NOT NULL,
  annotator text NOT NULL CHECK (length(annotator) BETWEEN 1 AND 255),
  clicks integer NOT NULL CHECK (clicks >= 0),
  job_id uuid,
  item_index integer CHECK (item_index >= 0),
  mask_id integer CHECK (mask_id >= 0),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (tenant_id, id),
  CHECK (num_nulls(job_id, item_index, mask_id) IN (0, 3)));
-- For exports, which write an image once with all of its masks.
CREATE INDEX annotations_by_image ON annotations (tenant_id, image, height, width, id);
