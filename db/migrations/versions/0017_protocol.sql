-- The form of a job's rows. Workers leave jobs of a newer one than they know to others. Code of the release before writes
-- and knows the first.
ALTER TABLE jobs ADD COLUMN protocol smallint NOT NULL DEFAULT 1 CHECK (protocol > 0);
ALTER TABLE workers ADD COLUMN protocol smallint NOT NULL DEFAULT 1 CHECK (protocol > 0);
