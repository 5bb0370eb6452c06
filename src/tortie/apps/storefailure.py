"""What a datastore's error means for whoever asked."""

from tortie.apps.failure import Code, Failure
from tortie.store.protocol import Conflict, NotFound, StoreError, Unavailable


def failure_of(error: StoreError) -> Failure:
    """The failure with the exit code and HTTP status of this error."""
    match error:
        case Conflict():
            code = Code.CONFLICT
        case NotFound():
            code = Code.NOT_FOUND
        case Unavailable():
            code = Code.UNREACHABLE
        case _:
            code = Code.FAILED
    return Failure(code, str(error))
