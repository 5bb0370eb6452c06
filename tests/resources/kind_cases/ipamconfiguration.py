"""Cases of IPAMConfiguration."""

from field_cases import KindCases
from value_cases import boolean, number, word

CASES = KindCases(
    kind="IPAMConfiguration",
    name="default",
    defaults={"strictAffinity": False, "autoAllocateBlocks": True, "maxBlocksPerHost": 0, "ipCooldownSeconds": 0},
    fields=[
        boolean("spec.strictAffinity"),
        boolean("spec.autoAllocateBlocks"),
        number("spec.maxBlocksPerHost", 0, 1_000_000),
        number("spec.ipCooldownSeconds", 0, 1200),
        word("spec.kubeVirtVMAddressPersistence", "Enabled", "Disabled"),
    ],
)
