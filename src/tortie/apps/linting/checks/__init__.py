"""The checks, one file for each. The folder is the registry: every module in it has a CHECK."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents

if TYPE_CHECKING:  # only who runs them all needs it
    from tortie.apps.linting.world import World


def check_named(module: str) -> Check[Documents]:
    """The check in that file, which needs no more than documents."""
    check: Check[Documents] = import_module(f"{__name__}.{module}").CHECK
    return check


@cache
def every_check() -> "tuple[Check[World], ...]":
    """All of them, in the order of their codes."""
    found: list[Check[World]] = [import_module(f"{__name__}.{one.name}").CHECK for one in iter_modules(__path__)]
    return tuple(sorted(found, key=lambda check: check.code))
