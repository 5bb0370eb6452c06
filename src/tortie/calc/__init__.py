"""From the values of all documents and this host's interfaces to the desired state of this host, incrementally.

Pure and synchronous: `Engine` is told what changed, `flush` says what that changes for the driver. Desired state
depends on the current values only, never on the order or history by which they came.
"""

from tortie.calc.engine import Engine

__all__ = ["Engine"]
