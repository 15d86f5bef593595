"""Roles of the database: whether one is there, and whether ours may make it."""

from sqlalchemy import Connection, text


def exists(connection: Connection, role: str) -> bool:
    found = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    return found.first() is not None


def may_create(connection: Connection) -> bool:
    """Owners of managed databases may: RDS and Cloud SQL give their first user CREATEROLE."""
    own = connection.execute(text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"))
    return bool(own.scalar_one())
