"""The root of every error that Commensal raises on purpose.

It lives on the lowest floor so that every package shares it. `connector.errors` splits it by origin
(what we did wrong, what the peer did wrong).
"""


class Error(Exception):
    """An error with a stable `code` for programs and a `remedy` for people.

    The message names the thing and the place. It may quote configuration, never a record: at a
    node's border only `code` is sent (threat: exception text can hold patient data).
    """

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy

    def diagnostics(self) -> str:
        """One line for a person: what is wrong, and what to do about it."""
        return f"{self.message}. {self.remedy}".strip() if self.remedy else self.message


class PolicyError(Error):
    """A policy, permit or request that cannot be understood (and is therefore refused)."""
