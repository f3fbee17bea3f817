import os
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from shelf import Federation
from sqlalchemy import create_engine, text

from connector.store import Store
from coordinator.federation import tables

URL = os.environ.get("COMMENSAL_TEST_DATABASE", "")
assert tables.VersionRow.__table__ is not None  # known before the store is opened


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """On SQLite, or in a schema of its own on the PostgreSQL server that is named."""
    if not URL:
        with closing(Store(f"sqlite:///{tmp_path / 'coordinator.db'}")) as store:
            yield Federation(store)
        return
    engine, schema = create_engine(URL), f"test_{uuid.uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    with closing(Store(f"{URL}?options=-csearch_path%3D{schema}")) as store:
        yield Federation(store)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()
