"""IPReservation: addresses of pools that are not given out. Source: reference resources.md section 8.12."""

from tortie.resources.addresses import net, net_identity
from tortie.resources.fields import Field, list_of
from tortie.resources.kind import NAME, Column, Kind, cut, spec_cell

KIND = Kind(
    name="IPReservation",
    plural="ipreservations",
    doc="Addresses that no pool gives out any more; what has one keeps it.",
    aliases=("ipreservation", "reservation", "reservations"),
    fields={
        "reservedCIDRs": Field(
            list_of(net(strict=False, may_be_address=True), identity=net_identity),
            "The addresses, as networks of either IP version.",
        )
    },
    lower=None,
    columns=(NAME,),
    wide=(NAME, Column("CIDRS", cut(spec_cell("reservedCIDRs")))),
)
