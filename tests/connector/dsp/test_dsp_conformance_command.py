"""`commensal conformance`: what it prints, keeps and refuses."""

import json
import socket
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from dsp_process import Killable
from kit_wire import bare_policy, message, new_pid

from connector.dsp import conformance, conformance_seed
from connector.dsp.cli import conformance as command
from connector.errors import LocalError


def test_the_properties_name_every_test_of_the_kit_once() -> None:
    done = CliRunner().invoke(command, ["properties", "--profile", "dsp-tck", "--port", "9"])
    lines = dict(line.split("=", 1) for line in done.output.splitlines())
    assert len(lines) == len(done.output.splitlines())
    assert lines["CN_01_01_DATASETID"] == "ACN0101"
    assert lines["CN_C_03_06_OFFERID"] == "offerACNC0306"
    assert lines["TP_C_02_03_AGREEMENTID"] == "ATPC0203"
    assert lines["dataspacetck.dsp.connector.http.url"] == "http://127.0.0.1:9/2025-1"


def test_only_a_profile_that_exists_is_served() -> None:
    done = CliRunner().invoke(command, ["serve", "--profile", "other"])
    assert done.exit_code == 2


def test_a_port_in_use_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(LocalError) as caught:
        conformance.serve(taken.getsockname()[1], tmp_path, "", print)
    assert caught.value.code == "PORT_IN_USE"
    assert "--port" in caught.value.remedy


def test_with_a_directory_a_restart_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    connector = Killable(tmp_path)
    try:
        request = message(
            "ContractRequestMessage", consumerPid=new_pid(), callbackAddress="http://127.0.0.1:9",
            offer=bare_policy("Offer", "o", "ACN0202"),
        )  # fmt: skip
        with httpx.Client(trust_env=False) as client:
            url = f"{connector.root}{conformance_seed.DSP_PATH}/negotiations"
            made = client.post(f"{url}/request", json=request).json()
            connector.restart()
            found = client.get(f"{url}/{made['providerPid']}").json()
            again = client.post(f"{url}/request", json=request).json()
            for body in ({}, {"agreementId": "invented"}, {"datasetId": 1}):
                hook = connector.root + conformance_seed.TRANSFER_WEBHOOK
                refused = client.post(hook, content=json.dumps(body))
                assert refused.status_code == 400
    finally:
        connector.close()
    assert found == again == made
