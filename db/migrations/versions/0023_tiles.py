"""Tiles: items that are segmented by windows.

Code of revision 0022 goes on as it is: jobs with such items are of protocol 2, which it leaves to others.
"""

from pathlib import Path

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("nothing to go back for: code of revision 0022 runs on this one")
