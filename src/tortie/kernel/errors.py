"""The one error of the doors to the kernel."""

import errno
import os

_SAID = {
    os.strerror(code): code
    for code in (errno.EPERM, errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOBUFS)
}


class KernelError(Exception):
    """A kernel call failed: which door, which thing, errno name, and a remedy or the last useful line where known."""

    def __init__(self, door: str, thing: str, code: int, detail: str = "") -> None:
        self.door, self.thing, self.code, self.detail = door, thing, code, detail
        name = errno.errorcode.get(code, str(code))
        text = f"{door}: {thing}: {name} ({os.strerror(code)})" if code else f"{door}: {thing}"
        super().__init__(f"{text}: {detail}" if detail else text)


def code_said(message: str) -> int:
    """The errno that a program's message tells by its text; 0: none."""
    return next((code for text, code in _SAID.items() if text in message), 0)
