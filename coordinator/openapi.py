"""The description (OpenAPI 3.1) of the coordinator's one port; see `surface` and `pages`."""

from connector import openapi
from connector.dsp.openapi import status_list
from connector.identity.enrolment import EnrolmentRequest
from connector.openapi import Json, content, operation, parameter, ref
from coordinator.members import STATUS_PATH

_ABOUT = """\
What hospitals and strangers reach of a coordinator. Nothing here controls it: jobs, permits and
reviews come from its operator's own command line."""
_CODES = {"type": "string", "pattern": "^[A-Z][A-Z_]*$"}
_FLEET = {
    "activate-node": "A node is there",
    "deactivate-node": "A node leaves",
    "send-node-heartbeat": "A node is still there",
    "pull-messages": "A node asks what is to be done; held until there is something",
    "push-messages": "A node's answer, sealed by its gate",
}
_PROTOBUF = "application/protobuf"


def coordinator() -> Json:
    """The description."""
    signed = content({"type": "object"})
    refused = content(_CODES, "text/plain")
    paths: Json = {
        "/v1/authority": {
            "get": operation(
                "The certificate authority that an invitation's fingerprint is of",
                {200: content({"type": "string"}, "application/x-pem-file")},
            )
        },
        "/v1/enrol": _membership("Join, with an invitation's token", "EnrolmentRequest"),
        "/v1/renew": _membership("Go on taking part, with a fresh key", "SignedDocument"),
        "/v1/participants": {
            "get": operation("Who takes part, signed", {200: signed, 503: refused})
        },
        "/v1/participants/{name}/credential": {
            "get": operation(
                "A participant's membership as a credential",
                {200: content({"type": "string"}, "application/vc+jwt"), 404: refused,
                 503: refused},
                parameters=[parameter("name", "path", "The participant", maxLength=63)],
            )
        },
        STATUS_PATH: {"get": status_list()},
    }  # fmt: skip
    for name, summary in _FLEET.items():
        paths[f"/v1/fleet/{name}"] = {"post": _fleet(summary)}
    return openapi.document(
        "Commensal coordinator", "1", _ABOUT, paths,
        {"schemas": _schemas(), "securitySchemes": _SCHEMES},
    )  # fmt: skip


def _membership(summary: str, request: str) -> Json:
    refused = content(_CODES, "text/plain")
    answers = {200: content(ref("SignedDocument"))} | dict.fromkeys((403, 408, 413), refused)
    return {"post": operation(summary, answers, body=content(ref(request)))}


def _fleet(summary: str) -> Json:
    message = content({"type": "string", "format": "binary"}, _PROTOBUF)
    code = content({"type": "object", "required": ["code"], "properties": {"code": _CODES}})
    answers = {200: message} | dict.fromkeys((400, 401, 403, 404, 408, 409, 413), code)
    return operation(summary, answers, body=message, security=[{"node": []}])


def _schemas() -> Json:
    signature = {
        "type": "object",
        "required": ["keyid", "sig"],
        "properties": {"keyid": {"type": "string"}, "sig": {"type": "string"}},
    }
    return openapi.schemas(EnrolmentRequest) | {
        "SignedDocument": {
            "type": "object",
            "required": ["payloadType", "payload", "signatures"],
            "properties": {
                "payloadType": {"type": "string"},
                "payload": {"type": "string", "contentEncoding": "base64"},
                "signatures": {"type": "array", "minItems": 1, "items": signature},
            },
        }
    }


_SCHEMES: Json = {
    "node": {
        "type": "apiKey", "in": "header", "name": "flwr-public-key",
        "description": "A node's key, with a timestamp and its signature in headers beside it",
    }
}  # fmt: skip
