"""What Alembic executes to run the scripts: within the transaction that `upgrade` has begun."""

from alembic import context

from connector.migrations.revision import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
