"""Jobs, items, chunks, results and what keeps them honest."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("the first revision has nothing to go back to: drop the database instead")
