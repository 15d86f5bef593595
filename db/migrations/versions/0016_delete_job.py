"""A deleted job leaves its tenant at once, and its rows go later.

Code of revision 0015 goes on as it is: it deletes a job with all its rows in one transaction.
"""

from pathlib import Path

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("nothing to go back for: code of revision 0015 runs on this one")
