-- For each item without prompts of its own. Not in `input`, which every listing of jobs shows.
ALTER TABLE jobs ADD COLUMN prompts jsonb CHECK (jsonb_typeof(prompts) = 'array');
