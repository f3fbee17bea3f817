"""The coordinator's tests on SQLite, or on a PostgreSQL server if one is named.

`COMMENSAL_TEST_DATABASE=postgresql+psycopg://user@host:port/database` gives each test a schema of
its own there; `.ci/run` starts a server and runs these tests on both.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from coordinator import config

URL = os.environ.get("COMMENSAL_TEST_DATABASE", "")


@pytest.fixture(autouse=True)
def _database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not URL or request.node.get_closest_marker("sqlite"):
        yield
        return
    engine = create_engine(URL)
    schemas: dict[Path, str] = {}

    def url(paths: config.Paths, settings: config.CoordinatorConfig) -> str:
        if settings.database:
            return settings.database
        if paths.root not in schemas:
            schemas[paths.root] = f"test_{uuid.uuid4().hex}"
            with engine.begin() as connection:
                connection.execute(text(f"CREATE SCHEMA {schemas[paths.root]}"))
        return f"{URL}?options=-csearch_path%3D{schemas[paths.root]}"

    monkeypatch.setattr(config, "database_url", url)
    yield
    with engine.begin() as connection:
        for schema in schemas.values():
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()
