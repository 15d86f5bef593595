"""What tenants may use; the scopes and the last use of keys.

Code of revision 0008 goes on as it is: it neither reads nor writes what is new here. Keys of then keep every scope.
"""

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute(Path(__file__).with_suffix(".sql").read_text())


def downgrade() -> None:
    raise NotImplementedError("nothing to go back for: code of revision 0008 runs on this one")
