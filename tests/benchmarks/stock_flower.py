"""Stock Flower doing the same small job, as the figure to be compared with.

A SuperLink, three SuperNodes and an app bundle, as Flower's own guides start them: TLS, FedAvg,
logistic regression on ten features, three rounds of training and evaluation. No privacy, no
policy, no log, no node authentication.

    python tests/benchmarks/stock_flower.py
"""

import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parents[2]))

from connector.identity import certificates

_PATIENCE_SECONDS = 300.0

_PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "stock"
version = "1.0.0"
description = "logistic regression"
license = "Apache-2.0"
dependencies = ["flwr>=1.41.0", "torch"]

[tool.flwr.app]
publisher = "bench"

[tool.flwr.app.components]
serverapp = "stock.app:server"
clientapp = "stock.app:client"

[tool.flwr.app.config]
rounds = 3
rows = 2000
nodes = 3
"""

_APP = """
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

FEATURES = 10
torch.set_num_threads(1)
server, client = ServerApp(), ClientApp()


def _model(message=None):
    model = torch.nn.Linear(FEATURES, 1)
    if message is not None:
        model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    return model


def _records(context):
    generator = torch.Generator().manual_seed(context.node_config["partition-id"])
    x = torch.randn(context.run_config["rows"], FEATURES, generator=generator)
    y = (x.sum(1, keepdim=True) + torch.randn(len(x), 1, generator=generator) > 0).float()
    return x, y


@client.train()
def train(message: Message, context: Context) -> Message:
    model, (x, y) = _model(message), _records(context)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in torch.randperm(len(x)).split(64):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
    metrics = MetricRecord({"loss": float(loss), "num-examples": len(x)})
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content, reply_to=message)


@client.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    model, (x, y) = _model(message), _records(context)
    with torch.no_grad():
        accuracy = float(((model(x) > 0).float() == y).float().mean())
    metrics = MetricRecord({"accuracy": accuracy, "num-examples": len(x)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    nodes = context.run_config["nodes"]
    strategy = FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(_model().state_dict()),
        num_rounds=context.run_config["rounds"],
    )
"""


def cold_start(rows_per_node: int = 2000, rounds: int = 3, nodes: int = 3) -> float:
    """Seconds from launching the first process to the run being finished.

    Building the bundle and the certificates is not counted. Raises `RuntimeError` if the run
    fails, `TimeoutError` after five minutes; ends every process that it started either way.
    """
    with _directory() as directory:
        bundle = _bundle(directory)
        certificates.create_authority(directory, "stock", datetime.now(UTC))
        certificates.renew_server_certificate(directory, "127.0.0.1", datetime.now(UTC))
        ports = _free_ports(nodes + 1)
        began = time.monotonic()
        with _processes(directory) as launch:
            launch("superlink", _superlink(directory, ports[0]))
            _await_health(directory, ports[0], began)
            for number, port in enumerate(ports[1:]):
                launch(f"node-{number}", _supernode(directory, ports[0], port, number))
            config = {"rounds": rounds, "rows": rows_per_node, "nodes": nodes}
            _run(directory, ports[0], bundle, config, began)
            return time.monotonic() - began


@contextmanager
def _directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="stock-flower-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)  # a child may still be writing its log


@contextmanager
def _processes(directory: Path) -> Iterator[Any]:
    programs = str(Path(sys.executable).parent)
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",  # Flower spawns its children by name
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
    }
    started: list[subprocess.Popen[bytes]] = []

    def launch(name: str, command: list[str]) -> None:
        home = directory / name
        home.mkdir()
        with (directory / f"{name}.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [f"{programs}/{command[0]}", *command[1:]],
                    env={**environment, "HOME": str(home), "FLWR_HOME": str(home)},
                    stdout=log,
                    stderr=log,
                    cwd=home,
                    start_new_session=True,
                )
            )

    try:
        yield launch
    finally:
        _end(directory, started)


def _end(directory: Path, started: list[subprocess.Popen[bytes]]) -> None:
    # Flower's processes spawn others, in sessions of their own; all carry our home directory.
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + 3
        while pids := _marked(directory):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            for process in started:
                process.poll()
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
    for process in started:
        process.wait()


def _marked(directory: Path) -> list[int]:
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"FLWR_HOME={directory}/".encode() in (entry / "environ").read_bytes():
                pids.append(int(entry.name))
    return pids


def _superlink(directory: Path, port: int) -> list[str]:
    return [
        "flower-superlink",
        *("--ssl-certfile", str(directory / "server.pem")),
        *("--ssl-keyfile", str(directory / "server.key")),
        *("--ssl-ca-certfile", str(directory / "ca.pem")),
        *("--host", "127.0.0.1", "--port", str(port)),
        "--disable-runtime-dependency-installation",
    ]


def _supernode(directory: Path, superlink: int, port: int, number: int) -> list[str]:
    return [
        "flower-supernode",
        *("--root-certificates", str(directory / "ca.pem")),
        *("--superlink", f"127.0.0.1:{superlink}"),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--node-config", f"partition-id={number}"),
    ]


def _bundle(directory: Path) -> bytes:
    from flwr.cli.build import build_fab_from_disk  # noqa: PLC0415 - not needed by importers

    app = directory / "stock"
    (app / "stock").mkdir(parents=True)
    (app / "pyproject.toml").write_text(_PYPROJECT)
    (app / "stock" / "__init__.py").write_text("")
    (app / "stock" / "app.py").write_text(_APP)
    return bytes(build_fab_from_disk(app))


def _run(directory: Path, port: int, bundle: bytes, config: dict[str, int], began: float) -> None:
    from flwr.common.serde import fab_to_proto, user_config_to_proto  # noqa: PLC0415 - see above
    from flwr.proto.control_pb2 import ListRunsRequest, StartRunRequest  # noqa: PLC0415
    from flwr.supercore.control.control_http_client import ControlHttpClient  # noqa: PLC0415
    from flwr.supercore.fab import Fab  # noqa: PLC0415
    from flwr.supercore.interceptors.http.runtime_version import (  # noqa: PLC0415
        RuntimeVersionHttpInterceptor,
    )

    with ControlHttpClient.from_server_address(
        f"127.0.0.1:{port}",
        insecure=False,
        root_certificates=str(directory / "ca.pem"),
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
    ) as control:
        fab = Fab(hashlib.sha256(bundle).hexdigest(), bundle, {})
        request = StartRunRequest(
            fab=fab_to_proto(fab), override_config=user_config_to_proto(config)
        )
        run_id = control.StartRun(request).run_id
        while True:
            status = control.ListRuns(ListRunsRequest(run_id=run_id)).run_dict[run_id].status
            if status.status == "finished":
                break
            _check_time(began)
            time.sleep(0.05)
    if status.sub_status != "completed":
        log = (directory / "superlink.log").read_text(errors="replace")[-3000:]
        raise RuntimeError(f"stock run {status.sub_status}: {status.details}\n{log}")


def _await_health(directory: Path, port: int, began: float) -> None:
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    with httpx.Client(verify=context, trust_env=False) as client:
        while True:
            with suppress(httpx.TransportError):
                if client.get(f"https://127.0.0.1:{port}/health").is_success:
                    return
            _check_time(began)
            time.sleep(0.05)


def _check_time(began: float) -> None:
    if time.monotonic() - began > _PATIENCE_SECONDS:
        raise TimeoutError("stock Flower did not finish")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    print(f"stock Flower, 3 nodes, 3 rounds, TLS: {cold_start():.1f} s from cold start")
