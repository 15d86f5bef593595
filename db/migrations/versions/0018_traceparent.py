"""The trace that a job belongs to.

Code of revision 0017 goes on as it is: its jobs belong to none.
"""

from pathlib import Path

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("nothing to go back for: code of revision 0017 runs on this one")
