-- NULL: what the installation allows, and its own limit.
ALTER TABLE tenants
  ADD COLUMN places text[],
  ADD COLUMN requests_per_minute integer CHECK (requests_per_minute > 0);

-- `scopes` NULL: every scope, also those of later releases.
ALTER TABLE api_keys
  ADD COLUMN scopes text[] CHECK (cardinality(scopes) > 0),
  ADD COLUMN last_used_at timestamptz;
