"""Full-text search in portable SQL: FTS5 in SQLite, a tsvector in PostgreSQL, one meaning.

Words are made here, not by the database: without accents and case, letters and digits only. So
both find the same, in every language, and nothing of a query or of a peer's record can be syntax.
A word finds all that begin with it. Scores differ in scale, so only their order is used.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from connector.errors import LocalError

_WORD = re.compile(r"[^\W_]+")
_MAX_WORD = 64
_MAX_ASKED = 16
_MAX_BYTES = 1 << 18  # a tsvector holds 1 MiB
_MAX_POSITION = 16_383  # and no higher position

# The table is made by the migration 0001, in each database's own way.
_PUT_SQLITE = text(
    "INSERT INTO federated_words (rowid, title, keywords, description, variables)"
    " VALUES (:record, :title, :keywords, :description, :variables)"
)
_PUT_POSTGRESQL = text(
    "INSERT INTO federated_words (record, words) VALUES (:record, CAST(:words AS tsvector))"
)
_DROP_SQLITE = text("DELETE FROM federated_words WHERE rowid = :record")
_DROP_POSTGRESQL = text("DELETE FROM federated_words WHERE record = :record")
_FIND_SQLITE = text(
    "SELECT rowid FROM federated_words WHERE federated_words MATCH :asked"
    " ORDER BY bm25(federated_words, 10.0, 4.0, 2.0, 1.0), rowid LIMIT :most"
)
_FIND_POSTGRESQL = text(
    "SELECT record FROM federated_words WHERE words @@ CAST(:asked AS tsquery)"
    " ORDER BY ts_rank(words, CAST(:asked AS tsquery)) DESC, record LIMIT :most"
)


class Texts(NamedTuple):
    """What a record is found by, most important first."""

    title: str
    keywords: str
    description: str
    variables: str


def put(session: Session, records: Mapping[int, Texts]) -> None:
    """Make records findable, each by its number."""
    rows = [
        {"record": number, **(_columns(said) if _is_sqlite(session) else {"words": _vector(said)})}
        for number, said in records.items()
    ]
    if rows:
        session.execute(_PUT_SQLITE if _is_sqlite(session) else _PUT_POSTGRESQL, rows)


def drop(session: Session, records: Sequence[int]) -> None:
    """Let records be found no more."""
    if records:
        statement = _DROP_SQLITE if _is_sqlite(session) else _DROP_POSTGRESQL
        session.execute(statement, [{"record": number} for number in records])


def find(session: Session, asked: str, most: int) -> list[int]:
    """Numbers of the records that hold a word for each word that is asked, best first.

    Raises `LocalError` (SEARCH_EMPTY) for a text without a word.
    """
    wanted = list(dict.fromkeys(words(asked)))[:_MAX_ASKED]
    if not wanted:
        raise LocalError(
            "SEARCH_EMPTY",
            "the search has no word in it",
            "Name letters or digits, such as the beginning of a keyword",
        )
    if _is_sqlite(session):
        query, statement = " ".join(f'"{word}"*' for word in wanted), _FIND_SQLITE
    else:
        query, statement = " & ".join(f"'{word}':*" for word in wanted), _FIND_POSTGRESQL
    return list(session.scalars(statement, {"asked": query, "most": most}))


def words(said: str) -> Iterator[str]:
    """The words of a text as they are compared."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", said).casefold())
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    return (match[0][:_MAX_WORD] for match in _WORD.finditer(plain))


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _columns(said: Texts) -> dict[str, str]:
    bounded = _bounded(said)
    return {name: " ".join(bounded[name]) for name in Texts._fields}


def _vector(said: Texts) -> str:
    """A tsvector in PostgreSQL's own notation, which no parser of languages reads."""
    places: dict[str, list[str]] = {}
    position = 0
    for weight, found in zip("ABCD", _bounded(said).values(), strict=True):
        for word in found:
            position = min(position + 1, _MAX_POSITION)
            places.setdefault(word, []).append(f"{position}{weight}")
    return " ".join(f"'{word}':{','.join(where[:200])}" for word, where in places.items())


def _bounded(said: Texts) -> dict[str, list[str]]:
    """The words of each field, as many as there is room for."""
    room = _MAX_BYTES
    kept: dict[str, list[str]] = {}
    for name, content in zip(Texts._fields, said, strict=True):
        kept[name] = []
        for word in words(content):
            room -= len(word.encode()) + 4
            if room < 0:
                break
            kept[name].append(word)
    return kept
