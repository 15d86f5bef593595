-- The span that submitted a job, for the spans of its chunks.
ALTER TABLE jobs ADD COLUMN traceparent text CHECK (length(traceparent) <= 100);
