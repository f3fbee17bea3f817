"""Peers in coordinator.toml."""

from typing import Any

import pytest
from pydantic import ValidationError

from coordinator.config import CoordinatorConfig

NORTH = {"participant": "north", "address": "https://north.example/2025-1"}


def configured(*peers: dict[str, Any]) -> CoordinatorConfig:
    return CoordinatorConfig.model_validate({"name": "hdab", "peers": list(peers)})


def test_peers_are_named_with_their_addresses() -> None:
    (peer,) = configured(NORTH).peers
    assert (peer.participant, peer.address) == ("north", "https://north.example/2025-1")


@pytest.mark.parametrize(
    "peers",
    [
        [NORTH, NORTH],
        [{**NORTH, "address": "http://north.example/2025-1"}],
        [{**NORTH, "address": "https://north.example/2025-1?a=b"}],
        [{**NORTH, "address": "https://north.example/2025-1#a"}],
        [{**NORTH, "token": "secret"}],
        [{"participant": "north"}],
        [{**NORTH, "participant": ""}],
    ],
)
def test_what_cannot_be_asked_is_no_peer(peers: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        configured(*peers)
