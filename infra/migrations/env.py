"""Alembic's entry: runs the migrations on the connection that ``Warehouse.migrate`` hands over."""

from alembic import context

from feature_repo.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
