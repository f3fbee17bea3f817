"""What people get wrong: one line with a remedy, a code that is not zero, and never a traceback."""

import contextlib
import http.server
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from dataspace import NAMES, DataSpace, hospital, one_line

from connector.clock import utc_now
from connector.identity import certificates, documents
from connector.identity.enrolment import Invitation, Membership, new_token
from connector.store import InvitationRow
from coordinator.office import Office
from coordinator.sandbox import Finished, Sandbox
from coordinator.service import Service

pytestmark = pytest.mark.slow
NAME = NAMES[0]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataSpace]:
    """A coordinator and one node, both running."""
    with Sandbox(tmp_path_factory.mktemp("space")) as sandbox:
        space = DataSpace(sandbox, tmp_path_factory.mktemp("texts"))
        space.open([hospital(NAME)])
        yield space


@pytest.fixture
def copy(pair: DataSpace, tmp_path: Path) -> Path:
    """The node's directory again, to be spoiled."""
    return shutil.copytree(pair.sandbox.directory(NAME), tmp_path / NAME)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A node's directory before its enrolment."""
    with Sandbox(tmp_path / "fresh") as sandbox:
        sandbox.root.mkdir()
        return sandbox.prepare(hospital(NAME))


def enrol(pair: DataSpace, directory: Path, invitation: Invitation) -> Finished:
    arguments = ("node", "enrol", str(directory), "--invitation", "-")
    return pair.sandbox.attempt(*arguments, given=invitation.as_line())


def test_a_wrong_directory_is_named_by_every_command(pair, tmp_path):
    commands = {
        ("node", "run"): "CONFIG_MISSING",
        ("node", "check"): "CONFIG_MISSING",
        ("node", "budget"): "LOG_MISSING",
        ("coordinator", "run"): "CONFIG_MISSING",
        ("coordinator", "jobs"): "CONFIG_MISSING",
        ("coordinator", "catalogue"): "CONFIG_MISSING",
    }
    wrong = str(tmp_path / "nowhere")
    with ThreadPoolExecutor(2) as pool:
        finished = pool.map(lambda command: pair.sandbox.attempt(*command, wrong), commands)
    for result, code in zip(finished, commands.values(), strict=True):
        assert wrong in one_line(result, code)
    audit = pair.sandbox.attempt("audit", "verify", wrong)
    assert (audit.code, audit.errors.count("\n")) == (2, 1)
    assert wrong in audit.errors
    assert not Path(wrong).exists()


def test_a_node_that_is_not_enrolled_is_told_how_to(pair, fresh):
    line = one_line(pair.sandbox.attempt("node", "run", str(fresh)), "NOT_ENROLLED")
    assert "commensal node enrol" in line


def test_a_second_process_of_one_node_or_of_one_coordinator_is_refused(pair):
    one_line(pair.sandbox.attempt("node", "run", str(pair.sandbox.directory(NAME))), "LOG_LOCKED")
    one_line(pair.sandbox.attempt("coordinator", "run", pair.coordinator), "LOG_LOCKED")


def test_a_port_in_use_is_named(pair, tmp_path):
    port = pair.sandbox.office.address().rpartition(":")[2]
    second = str(tmp_path / "second")
    pair.sandbox.run_command("coordinator", "init", second, "--name", "other", "--port", port)
    line = one_line(pair.sandbox.attempt("coordinator", "run", second), "PORT_IN_USE")
    assert port in line
    stopped = pair.sandbox.attempt("coordinator", "invite", second, NAME)
    one_line(stopped, "COORDINATOR_STOPPED")


def add(line: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(path.read_text() + line)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (Path.unlink, "FILE_MISSING"),
        (lambda path: (path.unlink(), path.mkdir()), "FILE_UNREADABLE"),
        (lambda path: path.write_bytes(b"PK\3\4\0\0binary"), "FILE_UNREADABLE"),
        (lambda path: path.write_text(""), "FILE_EMPTY"),
        (lambda path: path.write_text(path.read_text().replace("ward", "unit")), "COLUMN_MISSING"),
        (add('x,"50,F,surgery,0,\n'), "FILE_UNREADABLE"),
        (add("x,fifty,F,surgery,0,\n"), "VALUE_UNREADABLE"),
    ],
    ids=["missing", "a directory", "binary", "empty", "a column", "an open quote", "a value"],
)
def test_records_that_cannot_be_read_are_found_by_a_check(pair, copy, spoil, code):
    spoil(copy / "patients.csv")
    assert "patients.csv" in one_line(pair.sandbox.attempt("node", "check", str(copy)), code)


@pytest.mark.parametrize(
    ("file", "old", "new", "code"),
    [
        ("policy.toml", '"ward"', '"weight"', "POLICY_COLUMN"),
        ("policy.toml", "/patients", "/others", "POLICY_DATASET"),
        ("policy.toml", "minimum_cohort", "smallest_cohort", "POLICY_INVALID"),
        ("policy.toml", "version = 1", "version =", "POLICY_SYNTAX"),
        ("policy.toml", '["scientific-research"]', '["advertising"]', "POLICY_INVALID"),
        ("node.toml", f'id = "{NAME}/', 'id = "elsewhere/', "DATASET_NOT_OURS"),
        ("node.toml", "person_column", "colour = 1\nperson_column", "CONFIG_INVALID"),
        ("node.toml", 'name = "', "name = ", "CONFIG_SYNTAX"),
        ("node.toml", "[[datasets]]", "give_up_seconds = 0\n[[datasets]]", "CONFIG_INVALID"),
    ],
)
def test_a_wrong_configuration_is_named_before_anything_runs(pair, copy, file, old, new, code):
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new))
    for verb in ("check", "run") if code == "DATASET_NOT_OURS" else ("check",):
        one_line(pair.sandbox.attempt("node", verb, str(copy)), code)


@pytest.mark.parametrize("file", ["signing.key", "fleet.key"])
def test_a_node_does_not_start_on_a_key_that_others_can_read(pair, copy, file):
    (copy / "identity" / file).chmod(0o644)
    line = one_line(pair.sandbox.attempt("node", "run", str(copy)), "KEY_EXPOSED")
    assert "chmod 600" in line


@pytest.mark.parametrize("file", ["signing.key", "ca.key", "server.key"])
def test_a_coordinator_does_not_start_on_a_key_that_others_can_read(pair, tmp_path, file):
    directory = shutil.copytree(pair.coordinator, tmp_path / "coordinator")
    (directory / "identity" / file).chmod(0o644)
    one_line(pair.sandbox.attempt("coordinator", "run", str(directory)), "KEY_EXPOSED")


def test_an_invitation_is_good_for_one_node_once_and_for_a_day(pair, fresh):
    office = pair.sandbox.office
    invitation = office.invite(NAME)
    used = invitation.model_copy(update={"token": new_token()})
    line = one_line(enrol(pair, fresh, used), "ENROLMENT_REFUSED")
    assert used.token not in line
    expired = invitation.model_copy(update={"expires_at": utc_now() - timedelta(seconds=1)})
    one_line(enrol(pair, fresh, expired), "INVITATION_EXPIRED")
    broken = pair.sandbox.attempt(
        "node", "enrol", str(fresh), "--invitation", "-", given=invitation.as_line()[:-9]
    )
    one_line(broken, "INVITATION_MALFORMED")
    with office.store.begin() as session:
        for row in session.query(InvitationRow):
            row.expires_at = utc_now() - timedelta(seconds=1)
    one_line(enrol(pair, fresh, invitation), "ENROLMENT_REFUSED")
    other = office.invite("hospital-other").model_copy(update={"participant": NAME})
    one_line(enrol(pair, fresh, other), "ENROLMENT_REFUSED")
    assert not (fresh / "identity" / "signing.key").exists(), "half an enrolment stays behind"


def test_a_used_invitation_is_refused(pair, tmp_path):
    line = pair.sandbox.office.invite("hospital-new").as_line()
    results = [
        pair.sandbox.attempt(
            "node", "enrol", str(tmp_path / place), "--invitation", "-", given=line
        )
        for place in ("first", "second")
    ]
    assert results[0].code == 0, results
    one_line(results[1], "ENROLMENT_REFUSED")


def test_an_expired_enrolment_is_named_with_its_date(pair, copy):
    office = pair.sandbox.office
    path = copy / "identity" / "membership.json"
    membership = documents.verify(path.read_text(), Membership, office.key.verify_key)
    past = utc_now() - timedelta(days=1)
    old = membership.model_copy(update={"not_before": past - timedelta(days=30), "not_after": past})
    path.write_text(documents.sign(office.key, old))
    line = one_line(pair.sandbox.attempt("node", "run", str(copy)), "ENROLMENT_EXPIRED")
    assert f"{past:%Y-%m-%d}" in line


def test_a_node_without_a_coordinator_says_where_it_looked(pair, copy):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    point_to(copy, port)
    line = one_line(pair.sandbox.attempt("node", "run", str(copy)), "COORDINATOR_UNREACHABLE")
    assert f"127.0.0.1:{port}" in line


def test_a_coordinator_s_expired_certificate_is_not_believed(pair, copy, fresh, tmp_path):
    def expire(identity: Path) -> None:
        certificates.renew_server_certificate(
            identity, "127.0.0.1", utc_now() - timedelta(days=certificates.SERVER_DAYS + 1)
        )

    with answering(pair, tmp_path, expire) as port:
        point_to(copy, port)
        line = one_line(pair.sandbox.attempt("node", "run", str(copy)), "COORDINATOR_CERTIFICATE")
        assert "expired" in line
        invitation = pair.sandbox.office.invite(NAME)
        moved = invitation.model_copy(update={"url": f"https://127.0.0.1:{port}"})
        one_line(enrol(pair, fresh, moved), "COORDINATOR_CERTIFICATE")


def test_somebody_else_who_answers_at_the_address_is_not_believed(pair, copy, fresh, tmp_path):
    def usurp(identity: Path) -> None:
        for name in ("ca.pem", "ca.key"):
            (identity / name).unlink()
        certificates.create_authority(identity, "hdab", utc_now())
        certificates.renew_server_certificate(identity, "127.0.0.1", utc_now())

    with answering(pair, tmp_path, usurp) as port:
        point_to(copy, port)
        one_line(pair.sandbox.attempt("node", "run", str(copy)), "COORDINATOR_CERTIFICATE")
        invitation = pair.sandbox.office.invite(NAME)
        moved = invitation.model_copy(update={"url": f"https://127.0.0.1:{port}"})
        one_line(enrol(pair, fresh, moved), "AUTHORITY_MISMATCH")


def test_a_coordinator_that_runs_for_a_month_shows_new_connections_a_new_certificate(
    pair, tmp_path
):
    directory = shutil.copytree(pair.coordinator, tmp_path / "coordinator")
    (directory / "identity" / "server.pem").unlink()
    certificates.renew_server_certificate(
        directory / "identity",
        "127.0.0.1",
        utc_now() - timedelta(days=certificates.SERVER_DAYS - 2),
    )
    with contextlib.closing(Office.open(directory)) as office:
        service = Service(office, print)
        web = service._web_config()
        assert web.ssl is not None
        authority = (directory / "identity" / "ca.pem").read_text()
        first = shown_certificate(web.ssl, authority)
        service._renew_certificate(web)
        second = shown_certificate(web.ssl, authority)
        service._fleet.close()
        service._log.close()
    assert certificates.fingerprint(first) != certificates.fingerprint(second)
    assert second.decode() == (directory / "identity" / "server.pem").read_text()


def shown_certificate(server: ssl.SSLContext, authority: str) -> bytes:
    """What a server shows to a client that trusts one authority (PEM); a handshake in memory."""
    client = ssl.create_default_context(cadata=authority)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (asking, answering, asking, answering):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return ssl.DER_cert_to_PEM_cert(asking.getpeercert(binary_form=True) or b"").encode()


@pytest.mark.parametrize(
    ("verb", "text", "code"),
    [
        ("permit", "id = ", "PERMIT_SYNTAX"),
        ("permit", 'id = "p"\npurpose = "scientific-research"\n', "PERMIT_INVALID"),
        ("permit", 'id = "p"\npurpose = "curiosity"\n', "PURPOSE_UNKNOWN"),
        ("submit", "id = ", "JOB_SYNTAX"),
        ("submit", 'id = "j"\n', "JOB_INVALID"),
    ],
)
def test_a_permit_or_a_job_that_cannot_be_read_is_named(pair, tmp_path, verb, text, code):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    one_line(pair.sandbox.attempt("coordinator", verb, pair.coordinator, str(file)), code)


def point_to(node: Path, port: int) -> None:
    """Let a node look for its coordinator at another port."""
    path = node / "identity" / "coordinator.json"
    address = path.read_text().partition('"address": "')[2].partition('"')[0]
    path.write_text(path.read_text().replace(address, f"127.0.0.1:{port}"))


@contextlib.contextmanager
def answering(pair: DataSpace, tmp_path: Path, change: Callable[[Path], None]) -> Iterator[int]:
    """A server in the coordinator's place, with its identity after `change`; yields its port."""
    identity = shutil.copytree(Path(pair.coordinator) / "identity", tmp_path / "identity")
    (identity / "server.pem").unlink()
    change(identity)

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = (identity / "ca.pem").read_bytes()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity / "server.pem", identity / "server.key")
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
