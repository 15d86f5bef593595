"""One plan for every job, whatever statistics there are."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    for table in ("items", "results", "chunks", "suspects"):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN job_id SET STATISTICS -1")
