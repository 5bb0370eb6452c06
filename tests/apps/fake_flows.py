"""The connection table of the reference driver: numbers that a test sets, in steps as a real table gives them."""

from collections.abc import Collection, Iterator

from tortie.dataplane.driver import ConnectionStatus, Established, TableFill
from tortie.kernel.errors import KernelError


class FakeFlows:
    """The part of the driver protocol that is about connections."""

    def __init__(self) -> None:
        self.filled = TableFill(4, 5, 512_000, 2, 128_000)
        """The table of IPv4; the one of IPv6 is empty."""
        self.to_expire: list[list[int]] = []
        """What the next calls of `expire` take out, step by step; an empty list fails."""
        self.expired = 0
        self.to_forget: list[int] = [3, 0, 2]
        """What `reconsider` forgets, step by step."""
        self.forgetting_fails = False
        """Whether `reconsider` fails after its first step."""
        self.reconsidered: list[tuple[Established, frozenset[str]]] = []

    def connections(self) -> ConnectionStatus:
        empty = TableFill(6, 0, self.filled.established_size, 0, self.filled.opening_size)
        return ConnectionStatus(tables=(self.filled, empty), taken_over=1, expired=self.expired)

    def expire(self) -> Iterator[int]:
        steps = self.to_expire.pop(0) if self.to_expire else [0]
        if not steps:
            raise KernelError("bpf", "read flows", 0, "on purpose")
        for count in steps:
            self.expired += count
            yield count

    def reconsider(self, choice: Established, interfaces: Collection[str]) -> Iterator[int]:
        self.reconsidered.append((choice, frozenset(interfaces)))
        for count in self.to_forget:
            yield count
            if self.forgetting_fails:
                raise KernelError("bpf", "delete flows", 0, "on purpose")
