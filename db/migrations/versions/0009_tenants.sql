-- NULL: what the installation allows.
ALTER TABLE tenants ADD COLUMN places text[];

-- `scopes` NULL: every scope, also those of later releases.
ALTER TABLE api_keys
  ADD COLUMN scopes text[] CHECK (cardinality(scopes) > 0),
  ADD COLUMN last_used_at timestamptz;
