"""Tokens: of a known key, for this audience, for a minute, once; any altered byte fails."""

import base64
import json
from typing import Any

import pytest
from dsp_pair import KEYS, NOW, Clock

from connector.dsp.authentication import SignedTokens, StaticTokens
from connector.errors import RemoteError
from connector.identity.keys import SigningKey, VerifyKey


def _known(name: str) -> VerifyKey | None:
    return KEYS[name].verify_key if name in KEYS else None


def _tokens(name: str, clock: Clock | None = None) -> SignedTokens:
    return SignedTokens(KEYS[name], _known, clock or Clock())


def _refused(tokens: SignedTokens | StaticTokens, header: str | None) -> None:
    with pytest.raises(RemoteError) as caught:
        tokens.caller(header)
    assert caught.value.code == "DSP_UNAUTHENTICATED"


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _forged(header: Any = None, key: SigningKey = KEYS["hdab"], **altered: Any) -> str:
    now = int(NOW.timestamp())
    claims = {
        "iss": "hdab", "sub": "hdab", "aud": "north", "jti": "1", "iat": now, "exp": now + 60,
    } | altered  # fmt: skip
    signed = f"{_encoded(header or {'alg': 'EdDSA'})}.{_encoded(claims)}"
    signature = base64.urlsafe_b64encode(key.sign(signed.encode())).rstrip(b"=").decode()
    return f"Bearer {signed}.{signature}"


def test_a_token_says_who_calls() -> None:
    assert _tokens("north").caller(_tokens("hdab").header("north")) == "hdab"
    assert _tokens("north").caller(_forged()) == "hdab"


def test_a_token_for_somebody_else_is_none() -> None:
    _refused(_tokens("spy"), _tokens("hdab").header("north"))


def test_a_token_is_used_once() -> None:
    north, header = _tokens("north"), _tokens("hdab").header("north")
    north.caller(header)
    _refused(north, header)


def test_a_token_is_short_lived_and_cannot_be_used_again_after_its_end() -> None:
    clock = Clock()
    north, header = _tokens("north", clock), _tokens("hdab", clock).header("north")
    clock.forward(seconds=119)
    north.caller(header)
    _refused(north, header)
    clock.forward(seconds=1)
    _refused(north, header)


def test_every_altered_byte_of_a_token_fails() -> None:
    header = _tokens("hdab").header("north")
    for index in range(len("Bearer "), len(header)):
        for other in ("A", "b", "_", "."):
            altered = header[:index] + other + header[index + 1 :]
            if altered != header:
                _refused(_tokens("north"), altered)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer " + "x" * 5000,
        "Basic " + _forged()[7:],
        _forged() + "=",
        _forged({"alg": "none"}),
        _forged({"alg": "HS256"}),
        _forged({"alg": "EdDSA", "crit": ["exp"]}),
        _forged([["alg", "EdDSA"]]),
        _forged(key=KEYS["spy"]),
        _forged(iss="nobody", sub="nobody"),
        _forged(sub="north"),
        _forged(aud=["north"]),
        _forged(jti=""),
        _forged(iat=float(NOW.timestamp())),
        _forged(iat=int(NOW.timestamp()) + 61),
        _forged(exp=int(NOW.timestamp()) - 60),
        _forged(exp=int(NOW.timestamp()) + 3600),
        _forged(exp="soon"),
    ],
)
def test_what_is_not_exactly_a_token_is_refused(header: str | None) -> None:
    _refused(_tokens("north"), header)


def test_a_static_token_is_compared_verbatim() -> None:
    tokens = StaticTokens('{"region": "any"}', "TCK_PARTICIPANT")
    assert tokens.caller('{"region": "any"}') == "TCK_PARTICIPANT"
    assert tokens.header("anybody") == '{"region": "any"}'
    for other in (None, "", '{"region":"any"}', '{"region": "any"} '):
        _refused(tokens, other)
    assert StaticTokens("", "TCK_PARTICIPANT").caller(None) == "TCK_PARTICIPANT"
