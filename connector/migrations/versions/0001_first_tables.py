"""The first tables.

Versions before this history made theirs without writing down which. A table that is there has to be
as it was made then, and stays as it is; what is missing is made.
"""

import sqlalchemy as sa
from alembic import op

from connector.errors import LocalError

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)
_ID = sa.String(255)
_DIGEST = sa.String(80)
_TABLES = sa.MetaData()

sa.Table(
    "participants", _TABLES,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("signing_key", sa.Text, nullable=False),
    sa.Column("fleet_key", sa.Text, nullable=False),
    sa.Column("enrolled_at", _TIME, nullable=False),
    sa.Column("not_after", _TIME, nullable=False),
    sa.Column("last_seen", _TIME),
    sa.Column("offers", sa.JSON, nullable=False),
)  # fmt: skip
sa.Table(
    "invitations", _TABLES,
    sa.Column("token_digest", sa.String(64), primary_key=True),
    sa.Column("participant", sa.String(63), nullable=False),
    sa.Column("expires_at", _TIME, nullable=False),
    sa.Column("used_at", _TIME),
)  # fmt: skip
sa.Table(
    "permits", _TABLES,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("digest", _DIGEST, nullable=False, unique=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("issued_at", _TIME, nullable=False),
    sa.Column("logged", sa.Boolean, nullable=False),
)  # fmt: skip
sa.Table(
    "revocations", _TABLES,
    sa.Column("permit_id", sa.ForeignKey("permits.id"), primary_key=True),
    sa.Column("effect", sa.String(20), nullable=False),
    sa.Column("reason", sa.String(40), nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("revoked_at", _TIME, nullable=False),
    sa.Column("ends_at", _TIME, nullable=False),
    sa.Column("logged", sa.Boolean, nullable=False),
)  # fmt: skip
sa.Table(
    "notices", _TABLES,
    sa.Column("permit_id", sa.ForeignKey("revocations.permit_id"), primary_key=True),
    sa.Column("participant", sa.String(63), primary_key=True),
    sa.Column("effect", sa.String(20), nullable=False),
    sa.Column("acknowledged_at", _TIME, nullable=False),
)  # fmt: skip
sa.Table(
    "jobs", _TABLES,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("digest", _DIGEST, nullable=False, unique=True),
    sa.Column("permit_id", sa.ForeignKey("permits.id"), nullable=False),
    sa.Column("specification", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False, index=True),
    sa.Column("reason", sa.String(120), nullable=False),
    sa.Column("submitted_at", _TIME, nullable=False),
)  # fmt: skip
sa.Table(
    "job_events", _TABLES,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job_id", sa.ForeignKey("jobs.id"), nullable=False, index=True),
    sa.Column("time", _TIME, nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)  # fmt: skip
sa.Table(
    "releases", _TABLES,
    sa.Column("job_id", sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("job_digest", _DIGEST, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("subject_digest", _DIGEST, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("reviewer", sa.String(120), nullable=False),
    sa.Column("logged", sa.Boolean, nullable=False),
    sa.Column("made_at", _TIME, nullable=False),
)  # fmt: skip
sa.Table(
    "members", _TABLES,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("did", _ID, nullable=False),
)  # fmt: skip
sa.Table(
    "vouchings", _TABLES,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(63), nullable=False, index=True),
    sa.Column("signing_key", sa.Text, nullable=False),
    sa.Column("revoked_at", _TIME),
    sa.Column("logged", sa.Boolean, nullable=False),
    sqlite_autoincrement=True,
)  # fmt: skip
sa.Table(
    "manifests", _TABLES,
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
)  # fmt: skip
sa.Table(
    "used_tokens", _TABLES,
    sa.Column("digest", _DIGEST, primary_key=True),
    sa.Column("issuer", _DIGEST, nullable=False),
    sa.Column("expires_at", _TIME, nullable=False),
    sa.Index("used_tokens_expiry", "expires_at"),
)  # fmt: skip

sa.Table(
    "dsp_processes", _TABLES,
    sa.Column("pid", sa.String(60), primary_key=True),
    sa.Column("peer_pid", _ID),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("role", sa.String(8), nullable=False),
    sa.Column("counterparty", _ID, nullable=False),
    sa.Column("callback", sa.Text, nullable=False),
    sa.Column("state", sa.String(12), nullable=False, index=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("dataset", _ID, nullable=False),
    sa.Column("offer", sa.JSON, nullable=False),
    sa.Column("as_offered", sa.Boolean, nullable=False),
    sa.Column("agreement", _ID, nullable=False),
    sa.Column("format", _ID, nullable=False),
    sa.Column("data_address", sa.JSON),
    sa.Column("token_digest", sa.String(64), nullable=False, index=True),
    sa.Column("token_expires", _TIME),
    sa.Column("handling", sa.JSON, nullable=False),
    sa.Column("script_step", sa.Integer, nullable=False),
    sa.Column("held", sa.Boolean, nullable=False, index=True),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("request_digest", _DIGEST, nullable=False),
    sa.Column("last_message", _DIGEST, nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("updated_at", _TIME, nullable=False),
    sa.UniqueConstraint("role", "kind", "counterparty", "peer_pid"),
)  # fmt: skip
sa.Table(
    "dsp_offers", _TABLES,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("dataset", _ID, nullable=False, index=True),
    sa.Column("policy", sa.JSON, nullable=False),
    sa.Column("formats", sa.JSON, nullable=False),
    sa.Column("handling", sa.JSON, nullable=False),
)  # fmt: skip
sa.Table(
    "dsp_agreements", _TABLES,
    sa.Column("role", sa.String(8), primary_key=True),
    sa.Column("counterparty", _ID, primary_key=True),
    sa.Column("id", _ID, primary_key=True),
    sa.Column("negotiation", sa.String(60), nullable=False, index=True),
    sa.Column("dataset", _ID, nullable=False),
    sa.Column("policy", sa.JSON, nullable=False),
    sa.Column("state", sa.String(8), nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("formats", sa.JSON, nullable=False),
    sa.Column("handling", sa.JSON, nullable=False),
    sa.Column("agreed_at", _TIME, nullable=False),
)  # fmt: skip
sa.Table(
    "dsp_outbox", _TABLES,
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("pid", sa.ForeignKey("dsp_processes.pid"), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("type", sa.String(60), nullable=False),
    sa.Column("path", sa.String(60), nullable=False),
    sa.Column("first", sa.Boolean, nullable=False),
    sa.Column("fields", sa.JSON, nullable=False),
    sa.Column("message_id", sa.String(60), nullable=False),
    sa.Column("due", _TIME, nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("written_at", _TIME, nullable=False),
    sa.Index("dsp_outbox_order", "pid", "sequence"),
    sqlite_autoincrement=True,
)  # fmt: skip
sa.Table(
    "dsp_datasets", _TABLES,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("published_at", _TIME, nullable=False),
)  # fmt: skip
sa.Table(
    "dsp_audiences", _TABLES,
    sa.Column("audience", _ID, primary_key=True),
    sa.Column("dataset", sa.ForeignKey("dsp_datasets.id"), primary_key=True),
    sa.Column("offer", sa.ForeignKey("dsp_offers.id"), primary_key=True),
    sa.Column("not_before", _TIME),
    sa.Column("not_after", _TIME),
    sa.Index("dsp_audiences_dataset", "dataset"),
)  # fmt: skip

sa.Table(
    "federated_catalogues", _TABLES,
    sa.Column("participant", _ID, primary_key=True),
    sa.Column("tried_at", _TIME, nullable=False),
    sa.Column("crawled_at", _TIME),
    sa.Column("problem", sa.String(120), nullable=False),
)  # fmt: skip
sa.Table(
    "federated_versions", _TABLES,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("participant", sa.ForeignKey("federated_catalogues.participant"), nullable=False),
    sa.Column("dataset", _ID, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("digest", _DIGEST, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("first_seen", _TIME, nullable=False),
    sa.Column("last_seen", _TIME),
    sa.Column("ending", sa.String(20), nullable=False),
    sa.Index("federated_versions_name", "dataset", "participant", "version", unique=True),
    sa.Index("federated_versions_current", "participant", "last_seen"),
)  # fmt: skip

# Full-text search: each database has a kind of table of its own for it.
_WORDS = {
    "sqlite": """
        CREATE VIRTUAL TABLE IF NOT EXISTS federated_words
        USING fts5(title, keywords, description, variables, tokenize = 'ascii')
    """,
    "postgresql": """
        CREATE TABLE IF NOT EXISTS federated_words
            (record INTEGER PRIMARY KEY, words TSVECTOR NOT NULL);
        CREATE INDEX IF NOT EXISTS federated_words_words ON federated_words USING gin (words)
    """,
}


def upgrade() -> None:
    """Make what is missing."""
    connection = op.get_bind()
    _refuse_strangers(connection)
    _TABLES.create_all(connection)
    connection.exec_driver_sql(_WORDS[connection.dialect.name])


def _refuse_strangers(connection: sa.Connection) -> None:
    """Threat: a database that is shared, where another program has its own `jobs`."""
    inspector = sa.inspect(connection)
    for table in _TABLES.tables.values():
        if not inspector.has_table(table.name):
            continue
        found = {(one["name"], one["nullable"]) for one in inspector.get_columns(table.name)}
        key = inspector.get_pk_constraint(table.name)["constrained_columns"]
        if found != {(one.name, one.nullable) for one in table.columns} or key != [
            one.name for one in table.primary_key
        ]:
            raise LocalError(
                "STORE_FOREIGN",
                f"the database has a table {table.name} that is not this program's",
                "Give it a database of its own (in PostgreSQL, a schema will do)",
            )
