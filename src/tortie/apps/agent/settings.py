"""What an agent is told of itself: flags and environment first, then the file, then the defaults.

What it is told of policy's surroundings (parameters that documents hold too) is in `apps/told.py`.
"""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from tortie.apps.defaults import CONFIG_FILE, DATASTORE, FELIX_CONFIG, SOCKET
from tortie.apps.failure import Code, Failure
from tortie.model.dataplane import EBPF, IPTABLES, NFTABLES, WHATEVER, DataplaneWish

AUTO = "auto"
DATAPLANES = (AUTO, EBPF, NFTABLES, IPTABLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Node name, datastore file, API socket, dataplane driver, and the file of parameters.

    `dataplane` auto: what parameters say (BPFEnabled, NFTablesMode), else the best that this host can have.
    """

    node: str
    datastore: Path = Path(DATASTORE)
    socket: Path = Path(SOCKET)
    dataplane: str = AUTO
    felix_config: Path = Path(FELIX_CONFIG)

    @property
    def wish(self) -> DataplaneWish:
        """The dataplane that this agent and no other is to have."""
        if self.dataplane == AUTO:
            return WHATEVER
        return DataplaneWish((self.dataplane,), f"the agent was started with dataplane {self.dataplane}")


NAMES = tuple(one.name for one in fields(AgentSettings))


def load_settings(given: Mapping[str, str | None], config: str | None) -> AgentSettings:
    """The settings of flags `given` over the file `config`; the default file need not exist.

    Raises: Failure USAGE naming the key and what is expected.
    """
    values = _read_file(Path(config or CONFIG_FILE), must_exist=config is not None)
    values |= {name: value for name, value in given.items() if value is not None}
    dataplane = values.get("dataplane", AUTO)
    if dataplane not in DATAPLANES:
        raise Failure(
            Code.USAGE, f"dataplane: expected {', '.join(DATAPLANES[:-1])} or {DATAPLANES[-1]}, got {dataplane!r}"
        )
    node = values.get("node") or os.uname().nodename.lower()
    return AgentSettings(
        node=node,
        datastore=Path(values.get("datastore", DATASTORE)).absolute(),
        socket=Path(values.get("socket", SOCKET)).absolute(),
        dataplane=dataplane,
        felix_config=Path(values.get("felix_config", FELIX_CONFIG)).absolute(),
    )


def _read_file(path: Path, *, must_exist: bool) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if must_exist:
            raise Failure(Code.USAGE, f"{path}: no such file; give an existing one with --config") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(Code.USAGE, f"{path}: cannot be read: {error}") from None
    import yaml  # only where there is a file: 15 ms

    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise Failure(Code.USAGE, f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Failure(Code.USAGE, f"{path}: expected a mapping with the keys {', '.join(NAMES)}")
    for name, value in found.items():
        if name not in NAMES:
            near = difflib.get_close_matches(str(name), NAMES, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(NAMES)}"
            raise Failure(Code.USAGE, f"{path}: unknown key {name!r}; {hint}")
        if not isinstance(value, str) or not value:
            raise Failure(Code.USAGE, f"{path}: {name}: expected text, got {value!r}")
    return dict(found)
