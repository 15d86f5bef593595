"""The API's own role in the database: what it may do, and which rows it sees. `python -m db.migrate` sets it up.

Workers, the dispatcher and migrations connect as the owner of the tables, which sees every row. So does any other role
that was granted something. Tables without a policy hold numbers, and what keys are checked by: no images and no masks.
"""

from typing import Final

from sqlalchemy import Connection, text

from db.roles import exists, may_create

_RIGHTS: Final = {
    "alembic_version": "SELECT",
    "tenants": "SELECT",
    "api_keys": "SELECT, UPDATE (last_used_at)",
    "workers": "SELECT",
    "jobs": "SELECT, INSERT, UPDATE",
    "chunks": "SELECT, INSERT, UPDATE",
    "tallies": "SELECT",
    "progress_samples": "SELECT",
    "outbox": "INSERT",
    "items": "SELECT, INSERT",
    "results": "SELECT",
    "outputs": "SELECT, INSERT",
    "output_shards": "SELECT",
    "webhooks": "SELECT, INSERT, UPDATE",
    "webhook_tries": "SELECT",
    "webhook_secrets": "SELECT, INSERT, UPDATE",
    "annotations": "SELECT, INSERT, UPDATE, DELETE",
    "annotation_counts": "SELECT",
}
_FUNCTIONS: Final = ("open_items_of_all()", "delete_job(text, uuid)")
# A subquery that names no column of the table is computed once for a statement.
_OF_TENANT: Final = "tenant_id = ANY ((SELECT nullif(current_setting('maskworks.tenants', true), '')::text[])::text[])"
# Sees the job by the policy of `jobs`. As EXISTS it might be planned as a scan of every job.
_OF_JOB: Final = "(SELECT true FROM jobs j WHERE j.id = job_id)"
OWN_ROWS: Final = {
    "jobs": _OF_TENANT,
    "webhook_secrets": _OF_TENANT,
    "annotations": _OF_TENANT,
    "annotation_counts": _OF_TENANT,
    **dict.fromkeys(("items", "results", "outputs", "output_shards", "webhooks", "webhook_tries"), _OF_JOB),
}
"""Which rows of a table the role sees and may write."""


class NoSuchRole(Exception):
    """The database has no such role, and the owner of the tables may not make it."""


def set_up(connection: Connection, role: str) -> None:
    """Grant the role what the API needs, and hide other tenants' rows from it. Safe to run many times.

    The role is made if it is missing. Raises NoSuchRole.
    """
    named = connection.dialect.identifier_preparer.quote(role)
    if not exists(connection, role):
        _make(connection, role, named)
    schema: str = connection.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {named}"))
    for function in _FUNCTIONS:
        connection.execute(text(f"GRANT EXECUTE ON FUNCTION {function} TO {named}"))
    for table, rights in _RIGHTS.items():
        connection.execute(text(f"GRANT {rights} ON {table} TO {named}"))
    for table, condition in OWN_ROWS.items():
        _hide(connection, table, condition, named, role)


def _make(connection: Connection, role: str, named: str) -> None:
    """A role without a login, which ours may take but whose rights it does not have by itself."""
    if not may_create(connection):
        raise NoSuchRole(f"there is no role {role!r} (MASKWORKS_API_ROLE): docs/deployment.md says how to make it")
    connection.execute(text(f"CREATE ROLE {named}"))
    connection.execute(text(f"GRANT {named} TO CURRENT_USER WITH INHERIT FALSE, SET TRUE"))


def _hide(connection: Connection, table: str, condition: str, named: str, role: str) -> None:
    """A policy once made stays: making it again would lock the table at each start of a release."""
    made = connection.execute(
        text(
            "SELECT 1 FROM pg_policies WHERE schemaname = current_schema() AND tablename = :table "
            "AND policyname = 'own_rows' AND :role = ANY (roles)"
        ),
        {"table": table, "role": role},
    ).first()
    if made is not None:
        return
    for statement in (
        f"DROP POLICY IF EXISTS every_row ON {table}",
        f"DROP POLICY IF EXISTS own_rows ON {table}",
        f"CREATE POLICY every_row ON {table} USING (true) WITH CHECK (true)",
        f"CREATE POLICY own_rows ON {table} AS RESTRICTIVE TO {named} USING ({condition}) WITH CHECK ({condition})",
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
    ):
        connection.exec_driver_sql(statement)
