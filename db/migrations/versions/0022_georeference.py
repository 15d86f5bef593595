"""Where on the ground an image is, beside its masks.

Code of revision 0021 goes on as it is: it writes results without one, and their masks stay in pixels.
"""

from pathlib import Path

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("nothing to go back for: code of revision 0021 runs on this one")
