"""IPAMConfiguration: how addresses are given out. Source: reference resources.md section 8.13."""

from tortie.resources.fields import Field
from tortie.resources.kind import DEFAULT_NAME_LAW, NAME, Column, Kind, check_default_name, spec_cell
from tortie.resources.values import boolean, enum, integer

_COLUMNS = (
    NAME,
    Column("STRICTAFFINITY", spec_cell("strictAffinity")),
    Column("AUTOALLOCATEBLOCKS", spec_cell("autoAllocateBlocks")),
)
KIND = Kind(
    name="IPAMConfiguration",
    plural="ipamconfigurations",
    doc="How addresses of pools are given out; there is one, called `default`.",
    aliases=("ipamconfiguration", "ipamconfig", "ipamconfigs"),
    short_names=("ipamconfig", "ipamconfigs"),
    check_name=check_default_name,
    laws=(DEFAULT_NAME_LAW,),
    fields={
        "strictAffinity": Field(boolean, "Whether nodes use addresses of their own blocks only.", default=False),
        "autoAllocateBlocks": Field(boolean, "Whether nodes claim new blocks when they need some.", default=True),
        "maxBlocksPerHost": Field(
            integer(0, 1_000_000), "How many blocks one node may have; 0: no limit is set.", default=0
        ),
        "ipCooldownSeconds": Field(
            integer(0, 1200), "How many seconds a released address is left alone before it is used again.", default=0
        ),
        "kubeVirtVMAddressPersistence": Field(
            enum("Enabled", "Disabled"), "Whether a virtual machine keeps its addresses; without it, Enabled."
        ),
    },
    lower=None,
    columns=_COLUMNS,
    wide=(*_COLUMNS, Column("MAXBLOCKSPERHOST", spec_cell("maxBlocksPerHost"))),
)
