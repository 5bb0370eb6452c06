"""Whether this process, on this kernel, can load programs."""

from tortie.apps.failure import Code, Failure
from tortie.kernel.features import probe


def require_privileges() -> None:
    """Raises: Failure with a remedy for each thing that this process or this kernel lacks."""
    missing = probe().missing_required
    if missing:
        raise Failure(Code.FAILED, "this host cannot enforce policy: " + "; ".join(missing))
