"""Annotations: masks that people or jobs made, and what became of them in review.

Code of revision 0018 goes on as it is: it neither reads nor writes what is new here.
"""

from pathlib import Path

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("nothing to go back for: code of revision 0018 runs on this one")
