"""A job's output to S3: what was asked for, how far it is, and the files that are there.

Code of revision 0006 goes on as it is: it neither reads nor writes what is new here.
"""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("nothing to go back for: code of revision 0006 runs on this one")
