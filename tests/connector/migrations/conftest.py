import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from migrated import Database, opened
from sqlalchemy import create_engine, text

URL = os.environ.get("COMMENSAL_TEST_DATABASE", "")


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Empty, on SQLite, or in a schema of its own on the PostgreSQL server that is named."""
    if not URL or request.node.get_closest_marker("sqlite"):
        file = tmp_path / "database" / "store.db"
        file.parent.mkdir()
        engine = opened(f"sqlite:///{file}")
        yield Database(f"sqlite:///{file}", file, engine)
        engine.dispose()
        return
    server, schema = create_engine(URL), f"test_{uuid.uuid4().hex}"
    with server.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    url = f"{URL}?options=-csearch_path%3D{schema}"
    engine = opened(url)
    yield Database(url, None, engine)
    engine.dispose()
    with server.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    server.dispose()
