"""Prompts for every image of a job, stored once.

Code of revision 0004 goes on as it is, but cannot work off a job with such prompts: its items have none. Update the
workers before the API.
"""

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("nothing to go back for: code of revision 0004 runs on this one")
