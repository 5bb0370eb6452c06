"""`tortie agent run` and `tortie agent cleanup`."""

import os

import click

from tortie.apps.ctl.completing import PATH
from tortie.apps.ctl.options import choice, with_target
from tortie.apps.ctl.process import collect_as_usual
from tortie.apps.ctl.show import out


@click.group()
def command() -> None:
    """Run the agent of this host, or remove what it left.

    \b
    Examples:
      tortie agent run
      tortie agent cleanup
    """


@command.command()
@with_target
@click.option(
    "--dataplane",
    envvar="TORTIE_DATAPLANE",
    metavar="NAME",
    help="What enforces: auto, ebpf, nftables or iptables (default: auto, the first of them that this host can have).",
)
@click.option(
    "--config", type=PATH, metavar="FILE", help="Settings file (default: /etc/tortie/tortie.yaml, if there is one)."
)
@click.option(
    "--felix-config",
    envvar="TORTIE_FELIX_CONFIG",
    type=PATH,
    metavar="FILE",
    help="File of parameters (default: /etc/calico/felix.cfg, if there is one).",
)
def run(dataplane: str | None, config: str | None, felix_config: str | None) -> None:
    """Enforce the datastore's policy on this host until told to stop; what is enforced then stays.

    Variables FELIX_<Parameter> and the file of parameters win over FelixConfigurations, see tortie config explain.

    \b
    Examples:
      tortie agent run
      tortie agent run --node web1 --datastore /tmp/web1.db --socket /tmp/web1.sock
    """
    from tortie.apps.agent import main
    from tortie.apps.agent.doors import OFFERS, open_interfaces, open_timeouts
    from tortie.apps.agent.settings import load_settings
    from tortie.apps.told import settings_told, told

    chosen = choice()
    given = {"node": chosen.node, "datastore": chosen.datastore, "socket": chosen.socket, "dataplane": dataplane}
    settings = load_settings({**given, "felix_config": felix_config}, config)
    levels = told(os.environ, settings.felix_config)
    settings_told(levels)  # before anything else: nobody starts with a value that must not be passed over
    collect_as_usual()
    main.run(settings, levels, OFFERS, open_interfaces(), open_timeouts())


@command.command()
def cleanup() -> None:
    """Remove from this network namespace exactly what agents left in the kernel: programs, pins, tables.

    Whatever dataplane they had.

    \b
    Examples:
      tortie agent cleanup
      nsenter --net=/run/netns/web tortie agent cleanup
    """
    from tortie.apps.agent import main
    from tortie.apps.agent.doors import OFFERS

    removed = main.clean_up(OFFERS)
    for thing in removed:
        out(f"removed {thing}")
    out(f"{len(removed)} thing(s) removed" if removed else "nothing of tortie's was found")
