"""Webhooks: what a job asks for, each try of a delivery, and the secrets that deliveries are signed with.

Code of revision 0007 goes on as it is: it neither reads nor writes what is new here.
"""

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("nothing to go back for: code of revision 0007 runs on this one")
