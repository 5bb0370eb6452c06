"""Why a request failed, in the words that both the exit code of the command line and the API's status come from."""

from enum import Enum

from tortie.apps.answers import ErrorAnswer, ProblemAnswer


class Code(Enum):
    """Who has to act and how. Value: name in the API; exit code; HTTP status. Source: reference ux.md section D."""

    FAILED = ("failed", 1, 500)
    USAGE = ("usage", 2, 400)
    INVALID = ("invalid", 3, 422)
    FORBIDDEN = ("forbidden", 1, 403)
    NOT_FOUND = ("not_found", 5, 404)
    CONFLICT = ("conflict", 6, 409)
    UNREACHABLE = ("unreachable", 7, 503)

    def __init__(self, label: str, exit_code: int, http_status: int) -> None:
        self.label, self.exit_code, self.http_status = label, exit_code, http_status


class Failure(Exception):
    """A request that cannot be done; the message is for people and ends with the remedy where one is known."""

    def __init__(self, code: Code, message: str, problems: list[ProblemAnswer] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.problems = code, message, problems or []

    def answer(self) -> ErrorAnswer:
        """The API's form of it."""
        return {"error": {"code": self.code.label, "message": self.message, "problems": self.problems}}


def failure_from(answer: ErrorAnswer) -> Failure:
    """The failure that an API answer tells of; an unknown code counts as a plain failure."""
    body = answer["error"]
    code = next((code for code in Code if code.label == body["code"]), Code.FAILED)
    return Failure(code, body["message"], body["problems"])
