"""What is on the qdisc of arriving and leaving packets of an interface, as `tc` lists it. Reads only.

Interfaces are those of the calling thread's network namespace. Asked only before Linux 6.6, which has no tcx.
"""

import errno
import json
import subprocess

from tortie.kernel.errors import KernelError

DOOR = "tc"


def early_qdisc(interface: str) -> str:
    """Its kind: clsact, or ingress, which has no side of leaving packets; empty without one. Raises: KernelError."""
    listed = _listed("qdisc", "show", "dev", interface)
    return next((str(one["kind"]) for one in listed if one.get("kind") in ("clsact", "ingress")), "")


def has_filters(interface: str) -> bool:
    """Whether any filter, of whoever, is on either side. Raises: KernelError."""
    return any(_listed("filter", "show", "dev", interface, side) for side in ("ingress", "egress"))


def _listed(*words: str) -> list[dict[str, object]]:
    thing = f"list {words[0]}s of {words[3]}"
    try:
        done = subprocess.run(["tc", "-json", *words], capture_output=True, check=False, timeout=10)
        if done.returncode:
            raise KernelError(DOOR, thing, 0, done.stderr.decode(errors="replace").strip())
        found: list[dict[str, object]] = json.loads(done.stdout.decode(errors="replace") or "[]")
    except FileNotFoundError as error:
        raise KernelError(DOOR, "run tc", errno.ENOENT, "install the package iproute2") from error
    except subprocess.TimeoutExpired as error:
        raise KernelError(DOOR, "run tc", errno.ETIMEDOUT) from error
    except ValueError as error:
        raise KernelError(DOOR, thing, errno.EBADMSG, f"unexpected form: {error}") from error
    return found
