"""Errors split by origin: what this side did wrong, and what the peer did wrong."""

from policies.errors import Error


class LocalError(Error):
    """Something on this machine: a path, a key file, a configuration, a full disk."""


class RemoteError(Error):
    """Something a peer sent or failed to send: a bad signature, a malformed message, silence."""
