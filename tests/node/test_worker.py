import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import stub_worker

from connector import frames
from connector.errors import LocalError
from connector.features import FeatureMap
from connector.folds import Split
from connector.schema import Column
from node import data, isolation, worker_child, worker_launch
from node.data.dataset import Dataset
from node.data.version import version_of
from node.worker import Assignment, Sandbox, Worker, _start
from node.worker_messages import LOAD_CODES

STUB = str(Path(stub_worker.__file__).resolve())
CANARY = 86.75309


@pytest.fixture
def ward(tmp_path):
    """40 people with two rows each, of which one counts; p7 has opted out; p39 has no age."""
    rows = [f"p{n},{20 + n},{'FM'[n % 2]},{n % 3 > 0:d}" for n in range(40)]
    rows += [f"p{n},{CANARY},F,1" for n in range(40)]
    rows[39] = "p39,,F,1"
    (tmp_path / "ward.csv").write_text("person,age,sex,died\n" + "\n".join(rows) + "\n")
    (tmp_path / "opt-outs.txt").write_text("p7\n")
    (tmp_path / "node.key").write_text("PRIVATE+KEY")
    return Dataset.model_validate(
        {
            "id": "north/ward",
            "title": "A ward",
            "person_column": "person",
            "opt_outs": "opt-outs.txt",
            "source": {"kind": "csv", "path": "ward.csv"},
            "columns": [
                {"name": "age", "kind": "numeric", "minimum": 20, "maximum": 60},
                {"name": "sex", "kind": "binary", "true": ["F"], "false": ["M"]},
                {"name": "died", "kind": "binary"},
            ],
        }
    ).relative_to(tmp_path)


def assign(dataset, tasks, holdout="0.25", columns=("age", "sex")):
    features = FeatureMap(
        columns=tuple(dataset.schema.find(name) for name in columns),
        outcome=dataset.schema.find("died"),
    )
    return Assignment(dataset, features, tuple(tasks), Split(salt="5a" * 16, holdout=holdout))


def sandbox(**changes):
    return Sandbox(**{"command": (STUB,), "max_answer_bytes": 1 << 20, **changes})


@pytest.fixture
def start(ward):
    workers = []

    def start(*tasks, dataset=ward, holdout="0.25", **changes):
        assignment = assign(dataset, tasks, holdout)
        workers.append(Worker.start(assignment, sandbox(**changes)))
        return workers[-1]

    yield start
    for worker in workers:
        worker.close()


def code_of(call, *arguments):
    with pytest.raises(LocalError) as caught:
        call(*arguments)
    assert "secret" not in repr(caught.value) + caught.value.diagnostics()
    return caught.value.code


def test_a_task_gets_its_fold_of_the_minimised_view_and_its_arrays(start):
    worker = start("echo", "holdout")
    parameters = np.arange(3, dtype=np.float32)
    trained = worker.call("echo", {}, {"parameters": parameters}, 60)
    held_out = worker.call("holdout", {}, {}, 60)
    assert trained["parameters"].tolist() == [0, 1, 2]
    assert trained["features"].dtype == trained["outcome"].dtype == np.float32
    for fold in (trained, held_out):
        assert fold["features"].shape == (len(fold["person"]), 2)
        assert fold["person"].tolist() == list(range(len(fold["person"])))
    ages = np.concatenate([trained["features"][:, 0], held_out["features"][:, 0]])
    # One row each, without p7 (opted out) and p39 (no age): everybody is in one fold.
    expected = [(n - 20) / 20 for n in range(40) if n not in (7, 39)]
    assert sorted(ages) == pytest.approx(sorted(expected), abs=1e-6)
    assert worker.facts.rows == 39
    assert worker.facts.persons == {
        "train": len(trained["person"]),
        "holdout": len(held_out["person"]),
    }
    assert worker.persons() == min(worker.facts.persons.values())
    assert worker.people() == 39  # p39 is a person, whatever is known of them
    assert worker.facts.opt_outs_unmatched == 0


def test_only_the_folds_of_the_jobs_tasks_are_kept(start):
    worker = start("echo", holdout="0")
    assert worker.facts.persons == {"train": 38}
    assert code_of(worker.call, "holdout", {}, {}, 60) == "TASK_UNKNOWN"


def test_a_task_that_the_node_does_not_have_is_refused_at_once(start):
    assert code_of(start, "mine_bitcoin") == "TASK_UNKNOWN"


def test_what_an_attacker_inside_of_a_worker_would_try_does_not_work(start, ward, tmp_path):
    key = tmp_path / "node.key"
    worker = start("attempts", forbidden=(key,))
    assert worker.facts.layers == ("limits", "landlock", "seccomp")
    arguments = {"key": str(key), "records": str(ward.source.path)}
    results = worker.call("attempts", arguments, {}, 60)
    assert len(results) == 32
    assert [name for name, worked in results.items() if worked[0]] == []
    assert key.read_text() == "PRIVATE+KEY"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "node.key",
        "opt-outs.txt",
        "ward.csv",
    ]


def test_the_same_attempts_work_where_nothing_isolates(ward, tmp_path):
    # Without this, the test above could pass because its attempts are wrong.
    harmless = [
        *(
            "tcp",
            "unix",
            "socketpair",
            "key",
            "records",
            "passwd",
            "list",
            "write",
            "append to code",
        ),
        *("mode", "signal the node", "pidfd", "spawn", "become dumpable"),
        *("own a pipe for the node", "choose a pipe's signal", "own a pipe for a thread"),
        "processors of the node",
    ]
    key = str(tmp_path / "node.key")
    arguments = {"key": key, "records": str(ward.source.path), "only": harmless}
    results = stub_worker.attempts(arguments, {}, None, None, None)
    assert [name for name, worked in results.items() if not worked[0]] == []


def test_what_computing_needs_still_works(start):
    assert start("ordinary").call("ordinary", {}, {}, 60)["done"].tolist() == [1, 8, 1]


def test_the_child_inherits_neither_environment_nor_descriptors(start, monkeypatch, tmp_path):
    monkeypatch.setenv("COMMENSAL_SECRET", "x")
    with (tmp_path / "node.key").open() as key:
        os.set_inheritable(key.fileno(), True)
        result = start("environment").call("environment", {}, {}, 60)
    names = bytes(result["names"].astype(np.uint8)).decode().split("\n")
    allowed = {"LC_ALL", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
    assert set(names) <= allowed | {"PYTHONPATH", "TORCHINDUCTOR_CACHE_DIR", "KMP_DUPLICATE_LIB_OK"}
    assert result["fds"][0] in (-1, 6)  # three for /dev/null, two pipes, the listing; -1: hidden


def test_an_exceptions_text_stays_inside_and_the_worker_goes_on(start):
    worker = start("fail", "echo")
    assert code_of(worker.call, "fail", {}, {}, 60) == "TASK_FAILED"
    assert "features" in worker.call("echo", {}, {}, 60)


@pytest.mark.parametrize(
    ("code", "reported"),
    [("TASK_INPUT_SHAPE", "TASK_INPUT_SHAPE"), ("AGE_IS_77", "TASK_FAILED"), ("", "TASK_FAILED")],
)
def test_a_tasks_code_is_passed_on_if_it_is_a_known_one(start, code, reported):
    assert code_of(start("odd_code").call, "odd_code", {"code": code}, {}, 60) == reported


def test_memory_is_bounded(start):
    assert code_of(start("exhaust").call, "exhaust", {}, {}, 60) == "TASK_MEMORY"


def test_a_task_cannot_change_the_records_for_the_next_call(start):
    worker = start("mutate", "echo")
    assert code_of(worker.call, "mutate", {}, {}, 60) == "TASK_FAILED"
    assert worker.call("echo", {}, {}, 60)["features"].any()


@pytest.mark.parametrize("how", ["type", "value", "dtype", "large"])
def test_only_bounded_numeric_arrays_are_answers(start, how):
    assert code_of(start("wrong").call, "wrong", {"how": how}, {}, 60) == "TASK_ANSWER"


def test_what_a_library_prints_is_no_part_of_an_answer(start):
    assert list(start("wrong").call("wrong", {"how": "print"}, {}, 60)) == ["x"]


def is_over(worker):
    assert worker._process.returncode is not None
    return code_of(worker.call, "echo", {}, {}, 60) == "WORKER_DIED"


def test_a_task_that_does_not_end_is_killed(start):
    worker = start("spin", "echo")
    worker.call("echo", {}, {}, 60)
    assert code_of(worker.call, "spin", {}, {}, 0.05) == "TASK_TIMEOUT"
    assert is_over(worker)


def test_a_worker_that_dies_is_noticed(start):
    worker = start("vanish")
    assert code_of(worker.call, "vanish", {}, {}, 60) == "WORKER_DIED"
    assert is_over(worker)


def prefixed(frame):
    return (len(frame).to_bytes(8, "big") + frame).hex()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("7f" + "ff" * 7, "ANSWER_TOO_LARGE"),
        ((1 << 21).to_bytes(8, "big").hex(), "ANSWER_TOO_LARGE"),
        (prefixed(b""), "ANSWER_MALFORMED"),
        (prefixed(b"secret"), "ANSWER_MALFORMED"),
        (prefixed(frames.pack({"status": "error", "code": "secret"}, {})), "TASK_FAILED"),
        (prefixed(frames.pack({"status": "error", "code": ["secret"]}, {})), "TASK_FAILED"),
        (prefixed(frames.pack({}, {})), "TASK_FAILED"),
        ("00000000000000ff" + "00", "WORKER_DIED"),
        ("00", "WORKER_DIED"),
    ],
)
def test_a_worker_that_was_taken_over_cannot_say_what_it_likes(start, message, code):
    worker = start("bypass", max_answer_bytes=1 << 20)
    assert code_of(worker.call, "bypass", {"bytes": message}, {}, 60) == code


@pytest.mark.parametrize(
    ("code", "reported"),
    [
        ("VALUE_UNREADABLE", "VALUE_UNREADABLE"),
        ("P4711:HIV+:1961-03-04", "DATASET_UNAVAILABLE"),
        ("TASK_FAILED", "DATASET_UNAVAILABLE"),
        (["secret"], "DATASET_UNAVAILABLE"),
        (None, "DATASET_UNAVAILABLE"),
    ],
)
def test_loading_has_a_closed_list_of_codes_too(ward, code, reported):
    header = {"status": "error", "code": code, "message": "m", "remedy": "r"}
    assert code_of(start_liar, ward, header) == reported


def start_liar(ward, header):
    """Start a worker that was taken over while it read the records."""
    message = bytes.fromhex(prefixed(frames.pack(header, {})))
    program = f"import os, sys; os.write(1, {message!r}); sys.stdin.buffer.read()"
    return Worker.start(assign(ward, ["echo"]), sandbox(command=("-c", program)))


def test_texts_for_the_hospitals_console_are_short_and_cannot_steer_it(ward):
    message = "row 7\x1b]0;title\x07\x1b[2J\r\n\u202e\x9b1m" + "x" * 9000
    header = {"status": "error", "code": "ROW_RAGGED", "message": message, "remedy": ["secret"]}
    with pytest.raises(LocalError) as caught:
        start_liar(ward, header)
    assert caught.value.message.startswith("row 7 ]0;title")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) == 500
    assert caught.value.remedy == ""


FACTS = {
    "people": 5,
    "persons": {"train": 5},
    "rows": 5,
    "version": "0a" * 32,
    "opt_outs_unmatched": 0,
    "layers": ["limits"],
}


@pytest.mark.parametrize(
    "lie",
    [
        {"people": -1},
        {"people": "secret"},
        {"rows": -1},
        {"persons": {"train": -5}},
        {"version": "secret"},
        {"version": "0A" * 32},
        {"version": "0a" * 32 + "\n"},
        {"layers": ["secret"]},
        {"name": "secret"},
    ],
)
def test_facts_that_cannot_be_are_refused(ward, lie):
    start_liar(ward, {"status": "ok", "facts": FACTS}).close()
    header = {"status": "ok", "facts": FACTS | lie}
    assert code_of(start_liar, ward, header) == "ANSWER_MALFORMED"


def test_every_code_that_reading_records_can_have_is_on_the_list():
    places = [*Path(data.__path__[0]).rglob("*.py"), Path(isolation.__file__)]
    found = re.findall(
        r"LocalError\(\s*\"([A-Z_]+)\"", "".join(place.read_text() for place in places)
    )
    assert len(set(found)) > 12
    assert set(found) <= LOAD_CODES


def test_the_version_is_of_records_list_and_configuration(start, ward):
    first = start("echo").version()
    assert start("holdout", holdout="0.5").version() == first
    assert start("echo", dataset=ward.model_copy(update={"title": "x"})).version() != first
    ward.opt_outs.write_text("p7\np8\n")
    second = start("echo").version()
    text = ward.source.path.read_text()
    ward.source.path.write_text(text.replace("p0,20", "p0,21"))
    assert len({first, second, start("echo").version()}) == 3


@pytest.mark.parametrize("name", ["source", "opt_outs"])
@pytest.mark.parametrize("how", ["longer", "replaced", "missing"])
def test_a_worker_is_stale_when_its_files_are_others(start, ward, name, how):
    worker = start("echo")
    assert not worker.stale()
    path = ward.source.path if name == "source" else ward.opt_outs
    content = path.read_text()
    if how == "longer":
        path.write_text(content + "\n")
    else:
        path.unlink()
    if how == "replaced":
        (path.parent / "other").write_text(path.name)
        path.write_text(content)
    assert worker.stale()


@pytest.mark.parametrize("name", ["source", "opt_outs"])
def test_a_file_that_is_written_to_while_it_is_read_is_refused(ward, monkeypatch, name):
    path = ward.source.path if name == "source" else ward.opt_outs

    def written_meanwhile(*arguments):
        found = version_of(*arguments)
        with path.open("a") as file:
            file.write("\n")
        return found

    assignment = assign(ward, ["echo"])

    def view():
        with contextlib.ExitStack() as opened:
            files = worker_launch.open_files(ward, opened)
            start = _start(assignment, sandbox(), files)
            passed = {"records": os.dup(files.records), "opt_outs": os.dup(files.opt_outs)}
            return worker_child._view(start.model_copy(update=passed))

    assert view()[0].people == 39
    monkeypatch.setattr(worker_child, "version_of", written_meanwhile)
    assert code_of(view) == "FILE_CHANGED"


def test_opt_outs_that_match_nobody_are_counted_for_the_operator(start, ward):
    ward.opt_outs.write_text("p7\nP8\n p9 \n")
    worker = start("echo")
    assert worker.facts.opt_outs_unmatched == 1
    assert worker.people() == 38


def test_parquet_is_read_inside_of_the_sandbox_too(start, ward, tmp_path):
    table = {"person": [1.0, 2.0, 3.0], "age": [30, 40, 50], "sex": ["F"] * 3, "died": [0, 1, 1]}
    pq.write_table(pa.table(table), tmp_path / "ward.parquet")
    ward.opt_outs.write_text("02\n")
    source = {"kind": "parquet", "path": str(tmp_path / "ward.parquet")}
    changed = Dataset.model_validate(ward.model_dump() | {"source": source})
    assert start("echo", dataset=changed).people() == 2


def under_way(call, *arguments):
    """A thread in that call, and the codes with which it ended."""
    codes = []
    thread = threading.Thread(target=lambda: codes.append(code_of(call, *arguments)))
    thread.start()
    return thread, codes


def test_aborting_ends_a_call_under_way(start):
    worker = start("spin", "echo")
    worker.call("echo", {}, {}, 60)
    thread, codes = under_way(worker.call, "spin", {}, {}, 600)
    worker.abort()
    thread.join()
    assert codes == ["WORKER_DIED"]
    worker.abort()
    assert is_over(worker)
    worker.close()
    worker.abort()


def test_loading_can_be_aborted(ward):
    program = "import sys; sys.stdin.buffer.read()"  # it never says that it has loaded
    spawned = []

    def abort_soon(worker):
        spawned.append(worker)
        threading.Thread(target=worker.abort).start()

    silent = sandbox(command=("-c", program))
    assert (
        code_of(lambda: Worker.start(assign(ward, ["echo"]), silent, spawned=abort_soon))
        == "WORKER_DIED"
    )
    assert spawned[0]._process.returncode == -signal.SIGKILL


def test_a_signal_handler_can_abort_the_call_of_its_own_thread(start):
    worker = start("spin", "echo")
    worker.call("echo", {}, {}, 60)
    before = signal.signal(signal.SIGUSR1, lambda *_: worker.abort())
    try:
        main = threading.main_thread().ident
        # Whenever it comes, before, in or after the wait: the call ends.
        threading.Thread(target=signal.pthread_kill, args=(main, signal.SIGUSR1)).start()
        assert code_of(worker.call, "spin", {}, {}, 600) == "WORKER_DIED"
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_second_abort_in_the_midst_of_the_first_waits_for_nothing(start, monkeypatch):
    worker = start("echo")
    kill = os.killpg

    def interrupted(*arguments):
        worker.abort()  # as a signal handler would, in the same thread
        kill(*arguments)

    monkeypatch.setattr(os, "killpg", interrupted)
    thread = threading.Thread(target=worker.abort, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    worker.close()
    assert worker._process.returncode == -signal.SIGKILL


def test_the_senders_patience_is_bounded_by_the_sandbox(start):
    worker = start("spin", "echo", max_call_seconds=0.05)
    assert code_of(worker.call, "spin", {}, {}, 86_400) == "TASK_TIMEOUT"
    assert Sandbox().max_call_seconds == 600


def test_a_process_that_cannot_be_started_is_an_error_of_ours(start, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert code_of(start, "echo") == "WORKER_NOT_STARTED"


def test_closing_ends_a_call_under_way(start):
    worker = start("spin", "echo")
    worker.call("echo", {}, {}, 60)
    thread, codes = under_way(worker.call, "spin", {}, {}, 600)
    worker.close()
    thread.join()
    assert codes == ["WORKER_DIED"]
    assert is_over(worker)
    worker.close()


def test_a_worker_ends_with_its_node(ward):
    program = (
        "import os, sys, test_worker as t\n"
        "from node.worker import Worker\n"
        "from node.data.dataset import Dataset\n"
        "ward = Dataset.model_validate_json(sys.stdin.read())\n"
        "worker = Worker.start(t.assign(ward, ['spin', 'echo']), t.sandbox())\n"
        "worker.call('echo', {}, {}, 60)\n"
        "worker._send(t.frames.pack({'task': 'spin', 'arguments': {}}, {}), 1e9)\n"
        "print(worker._process.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=ward.model_dump_json().encode(),
        capture_output=True,
        env=environment,
        check=True,
    )
    try:
        descriptor = os.pidfd_open(int(done.stdout))
    except ProcessLookupError:
        return
    # A pidfd becomes readable when its process has ended.
    assert select.select([descriptor], [], [], 60)[0]
    os.close(descriptor)


def test_problems_with_the_file_are_reported_with_place_and_remedy(start, ward):
    ward.source.path.write_text("person,age,sex,died\np1,40,secret,1\n")
    with pytest.raises(LocalError) as caught:
        start("echo")
    assert caught.value.code == "VALUE_UNREADABLE"
    assert "row 1" in caught.value.message
    assert caught.value.remedy
    assert "secret" not in caught.value.diagnostics()


def test_a_file_that_is_not_there_starts_no_process(start, ward):
    ward.source.path.unlink()
    assert code_of(start, "echo") == "FILE_MISSING"


def test_a_list_of_opt_outs_that_is_not_there_stops_the_worker(start, ward):
    ward.opt_outs.unlink()
    assert code_of(start, "echo") == "FILE_MISSING"


def test_a_job_that_means_other_units_is_refused(ward):
    years = ward.schema.find("age").model_copy(update={"unit": "months"})
    features = FeatureMap(columns=(years,), outcome=ward.schema.find("died"))
    split = Split(salt="5a" * 16, holdout="0")
    assert code_of(Worker.start, Assignment(ward, features, ("echo",), split)) == "SCHEMA_MISMATCH"


def test_a_job_that_asks_for_a_column_that_is_not_there_is_refused(ward):
    name = Column(name="name", kind="binary")
    features = FeatureMap(columns=(name,), outcome=ward.schema.find("died"))
    assignment = Assignment(ward, features, ("echo",), Split(salt="5a" * 16, holdout="0"))
    assert code_of(Worker.start, assignment, sandbox()) == "COLUMN_UNKNOWN"


def test_a_key_within_reach_stops_the_worker(start):
    assert code_of(lambda: start("echo", forbidden=(Path(os.__file__),))) == "ISOLATION_BROKEN"


def test_the_node_itself_loads_neither_records_nor_torch():
    program = (
        "import sys, node.worker; sys.exit(any(m in sys.modules for m in ('torch', 'pyarrow')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_real_catalogue_trains_inside_of_the_sandbox(ward):
    tasks = pytest.importorskip("connector.tasks").TASKS
    assignment = assign(ward, ["training.logistic", "evaluation.logistic"])
    worker = Worker.start(assignment)
    arguments = {
        "clipping_norm": "1",
        "noise_multiplier": "1",
        "sampling_rate": "0.5",
        "local_steps": 2,
        "expected_batch": 10,
        "learning_rate": "0.5",
        "momentum": "0",
    }
    parameters = np.zeros(3, dtype=np.float32)
    try:
        result = worker.call("training.logistic", arguments, {"parameters": parameters}, 120)
    finally:
        worker.close()
    assert tasks["training.logistic"].returns(arguments, 2, result)
