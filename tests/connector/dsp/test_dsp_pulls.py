"""An artefact behind a started transfer: what its token opens, for how long, what it does not."""

import ast
import asyncio
import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dsp_released
import httpx
import pytest
from dsp_released import CONTENT, Released, token_of
from sqlalchemy import update

from connector.dsp import conduct, pulls
from connector.dsp.judge import Moment, Refused
from connector.dsp.messages import NO_PID
from connector.dsp.states import Signal, State
from connector.dsp.tables import AgreementRow, ProcessRow
from connector.errors import LocalError

ROOT = Path(__file__).parents[3]
UNKNOWN = (404, {"code": "DSP_UNKNOWN"})


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Released]:
    with dsp_released.released(tmp_path) as made:
        yield made


def told(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


def checksum(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


# What it opens


def test_the_whole_with_its_checksums_and_an_entry(released: Released) -> None:
    answer = released.pull(accept_encoding="gzip")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "content-encoding" not in answer.headers, "a packed artefact is another content"
    assert answer.headers["etag"] == f'"{released.digest}"'
    assert answer.headers["repr-digest"] == answer.headers["content-digest"] == checksum(CONTENT)
    assert answer.headers["content-type"] == "application/octet-stream"
    (entry,) = released.pulled
    agreement = released.pair.north.row(released.transfer).agreement
    assert (entry.counterparty, entry.transfer, entry.agreement) == (
        "hdab", released.transfer, agreement,
    )  # fmt: skip
    assert (entry.artefact, entry.first, entry.size) == (released.digest, 0, len(CONTENT))


def test_a_head_tells_what_a_get_would_and_nothing_is_handed_out(released: Released) -> None:
    head = released.pull("HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert released.pulled == []
    got = released.pull()
    assert head.headers == got.headers


def test_a_part_has_a_checksum_of_its_own_beside_that_of_the_whole(released: Released) -> None:
    answer = released.pull(range="bytes=300000-599999")
    part = CONTENT[300_000:600_000]
    assert (answer.status_code, answer.content) == (206, part)
    assert answer.headers["content-range"] == f"bytes 300000-599999/{len(CONTENT)}"
    assert answer.headers["content-digest"] == checksum(part)
    assert answer.headers["repr-digest"] == checksum(CONTENT)
    assert (released.pulled[0].first, released.pulled[0].size) == (300_000, 300_000)


def test_parts_make_the_whole_and_what_lies_behind_it_is_not_there(released: Released) -> None:
    size, step = len(CONTENT), 400_000
    parts = [
        released.pull(range=f"bytes={first}-{first + step - 1}", if_range=f'"{released.digest}"')
        for first in range(0, size, step)
    ]
    assert b"".join(part.content for part in parts) == CONTENT
    beyond = released.pull(range=f"bytes={size}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    assert len(released.pulled) == len(parts)
    other = released.pull(range="bytes=1-2", if_range='"another"')
    assert (other.status_code, other.content) == (200, CONTENT)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_an_artefact_is_only_read(released: Released, method: str) -> None:
    assert released.pull(method).status_code == 405


# What it does not open


def test_the_token_is_stored_by_its_digest_only(released: Released) -> None:
    row = released.pair.north.row(released.transfer)
    assert row.token_digest == hashlib.sha256(released.token.encode()).hexdigest()
    stored = repr([getattr(row, column.key) for column in row.__mapper__.columns])
    assert released.token not in stored
    assert released.token not in repr(released.pair.north.events)


def test_a_token_opens_its_own_transfer_and_no_other(released: Released) -> None:
    other = released.shelf.release(b"something else")
    transfer, address = dsp_released.start(released.pair, other, 2)
    theirs = f"/2025-1/artefacts/{transfer}"
    assert told(released.pull(path=theirs)) == UNKNOWN
    assert told(released.pull(token=token_of(address))) == UNKNOWN
    assert released.pulled == []


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer x", "Basic {token}", "{token}", "Bearer {token}x",
     "Bearer  {token}", "Bearer " + "x" * 100_000],
    ids=range(9),
)  # fmt: skip
def test_who_has_no_token_gets_the_answer_of_what_does_not_exist(
    released: Released, header: str
) -> None:
    said = header.format(token=released.token)
    wrong = released.pull(authorization=said)
    missing = released.pull(path=f"/2025-1/artefacts/{NO_PID}", authorization=said)
    assert told(wrong) == UNKNOWN
    assert (wrong.content, wrong.headers) == (missing.content, missing.headers)
    assert released.pulled == []
    assert {event.code for event in released.pair.north.events if isinstance(event, Refused)} == {
        "DSP_UNKNOWN"
    }


@pytest.mark.parametrize(
    "place", ["..%2F..%2Fetc%2Fpasswd", "%2e%2e", "sha256:00", "%00", "x" * 3000]
)
def test_a_place_that_is_no_transfer_leads_nowhere(released: Released, place: str) -> None:
    assert released.pull(path=f"/2025-1/artefacts/{place}").status_code == 404


def _suspended(released: Released) -> None:
    conduct.act(released.pair.north.desk, released.transfer, Signal.SUSPEND)


def _completed(released: Released) -> None:
    conduct.act(released.pair.north.desk, released.transfer, Signal.COMPLETE)


def _terminated(released: Released) -> None:
    conduct.act(released.pair.north.desk, released.transfer, Signal.TERMINATE)


def _ended_by_the_consumer(released: Released) -> None:
    pair = released.pair
    theirs = pair.north.row(released.transfer).peer_pid
    assert theirs is not None
    conduct.act(pair.hdab.desk, theirs, Signal.COMPLETE)
    pair.settle()
    assert pair.north.state(released.transfer) is State.COMPLETED


def _late(released: Released) -> None:
    released.pair.clock.forward(minutes=10)


def _agreement_ended(released: Released) -> None:
    released.pair.north.desk.transact(
        lambda s: s.execute(update(AgreementRow).values(state="ended"))
    )


def _denied(released: Released) -> None:
    released.pair.north.deny(Moment.TRANSFER, "the permit was revoked")


def _withdrawn(released: Released) -> None:
    released.shelf.contents.clear()


def _of_another_format(released: Released) -> None:
    change = update(ProcessRow).values(format="commensal:FederatedJob")
    released.pair.north.desk.transact(lambda session: session.execute(change))


ENDINGS = [
    _suspended, _completed, _terminated, _ended_by_the_consumer, _late, _agreement_ended, _denied,
    _withdrawn, _of_another_format,
]  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_token_is_dead_at_once(released: Released, ending: Callable[[Released], None]) -> None:
    assert released.pull("HEAD").status_code == 200
    ending(released)
    for method in ("GET", "HEAD"):
        assert released.pull(method).status_code == 404
    assert told(released.pull()) == UNKNOWN
    assert released.pulled == []


def test_a_transfer_that_is_started_again_has_another_token(released: Released) -> None:
    pair = released.pair
    _suspended(released)
    pair.settle()
    conduct.act(pair.north.desk, released.transfer, Signal.START)
    pair.settle()
    row = pair.hdab.row(str(pair.north.row(released.transfer).peer_pid))
    fresh = token_of(type(released.address).model_validate(row.data_address))
    assert told(released.pull()) == UNKNOWN
    assert released.pull(token=fresh).content == CONTENT


@pytest.mark.parametrize("ending", ENDINGS[:6])
def test_a_stream_under_way_ends_with_its_transfer(
    released: Released, ending: Callable[[Released], None]
) -> None:
    sent: list[bytes] = []

    async def send(event: Any) -> None:
        if event["type"] == "http.response.body":
            sent.append(event["body"])
            if len(sent) == 1:
                await asyncio.to_thread(ending, released)

    asyncio.run(_drive(released, send))
    assert len(sent) == 1
    assert 0 < len(sent[0]) < len(CONTENT)


def test_a_reader_who_does_not_read_is_left(
    released: Released, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls, "_SEND_SECONDS", 0.01)
    begun: list[bytes] = []

    async def send(event: Any) -> None:
        if event["type"] == "http.response.body":
            begun.append(event["body"])
            await asyncio.Event().wait()

    asyncio.run(_drive(released, send))
    assert len(begun) == 1
    assert released.pull().content == CONTENT


async def _drive(released: Released, send: Any) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    token = f"Bearer {released.token}".encode()
    scope = {
        "type": "http", "method": "GET", "path": released.path, "root_path": "",
        "raw_path": released.path.encode(), "query_string": b"", "scheme": "https",
        "headers": [(b"authorization", token)], "server": ("x", 1), "client": ("y", 2),
        "http_version": "1.1",
    }  # fmt: skip
    await released.app(scope, receive, send)


# What goes wrong here


def test_what_cannot_be_written_down_is_not_sent(released: Released) -> None:
    released.failing.append(LocalError("LOG_FULL", "/var/log is full"))
    assert told(released.pull()) == (503, {"code": "LOG_FULL"})
    released.failing.clear()
    assert released.pull().content == CONTENT


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", b"x" + CONTENT[1:]])
@pytest.mark.parametrize("asked", ["", "bytes=5-9"])
def test_what_is_not_what_was_released_is_not_sent(
    released: Released, content: bytes, asked: str
) -> None:
    released.shelf.contents[released.digest] = content
    answer = released.pull(range=asked)
    assert told(answer) == (503, {"code": "ARTEFACT_CHANGED"})
    assert released.pulled == []
    assert released.pair.north.events[-1].code == "ARTEFACT_CHANGED"  # type: ignore[union-attr]  # a Refused


def test_a_file_that_is_gone_is_our_failure(
    released: Released, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: object) -> None:
        raise FileNotFoundError("/var/lib/coordinator/releases/job-1/model.cmf")

    monkeypatch.setattr(released.shelf, "find", gone)
    assert told(released.pull()) == (503, {"code": "ARTEFACT_UNREADABLE"})


def test_one_token_has_so_many_answers(released: Released, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulls, "_ANSWERS_PER_TOKEN", 3)
    for _ in range(3):
        assert released.pull(range="bytes=0-0").status_code == 206
    assert told(released.pull(range="bytes=0-0")) == UNKNOWN
    assert len(released.pulled) == 3


def test_more_streams_than_there_is_room_for_come_later(
    released: Released, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls, "_AT_ONCE", 1)
    answers: list[httpx.Response] = []

    async def send(event: Any) -> None:
        if event["type"] == "http.response.start":
            answers.append(await asyncio.to_thread(released.pull))

    asyncio.run(_drive(released, send))
    assert told(answers[0]) == (503, {"code": "ARTEFACT_BUSY"})
    assert released.pull().status_code == 200


def test_strangers_cannot_fill_the_log(released: Released) -> None:
    for _ in range(70):
        released.pull(token="x")  # noqa: S106 - anything
    refused = [event for event in released.pair.north.events if isinstance(event, Refused)]
    assert len(refused) == 60


# No path from a record to a transfer


def _imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _files(*packages: str) -> list[Path]:
    return [file for name in packages for file in sorted((ROOT / name).rglob("*.py"))]


def test_the_protocol_reads_no_records_and_opens_no_file_to_serve() -> None:
    for file in _files("connector/dsp"):
        assert not {name for name in _imports(file) if name.startswith(("node", "coordinator"))}
    for name in ("artefacts.py", "pulls.py", "ranges.py"):
        tree = ast.parse((ROOT / "connector/dsp" / name).read_text())
        imported = _imports(ROOT / "connector/dsp" / name)
        assert not imported & {"pathlib.Path", "os", "io", "starlette.responses.FileResponse"}
        calls = {
            node.func.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "open" not in calls


def test_an_artefact_is_made_in_one_place_which_reads_releases_only() -> None:
    makers = [
        file.relative_to(ROOT).as_posix()
        for file in _files("policies", "connector", "node", "coordinator")
        if "connector.dsp.artefacts.Artefact" in _imports(file)
        or "connector.dsp.artefacts" in _imports(file)
    ]
    assert makers == ["connector/dsp/pulls.py", "coordinator/artefacts.py"]
    registry = ROOT / "coordinator" / "artefacts.py"
    ours = {name for name in _imports(registry) if name.startswith("coordinator")}
    assert ours == {
        "coordinator.releases",
        "coordinator.office.Office",
        "coordinator.recorder.Record",
    }
    (released,) = [
        node for node in ast.parse(registry.read_text()).body if isinstance(node, ast.ClassDef)
    ]
    assert {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(released)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "releases"
    } == {"releases.approved", "releases.model_path"}


def test_a_node_serves_no_artefacts() -> None:
    for file in _files("node"):
        assert not {
            name
            for name in _imports(file)
            if name.startswith(("connector.dsp.pulls", "connector.dsp.artefacts"))
        }, file
