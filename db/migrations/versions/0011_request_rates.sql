-- NULL: as many as the installation allows.
ALTER TABLE tenants ADD COLUMN requests_per_minute integer CHECK (requests_per_minute BETWEEN 1 AND 1000000);
