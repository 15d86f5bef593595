"""A picture of the dashboard, drawn from a real run."""
