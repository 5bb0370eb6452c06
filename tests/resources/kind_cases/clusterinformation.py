"""Cases of ClusterInformation."""

from field_cases import KindCases
from value_cases import anything, boolean

CASES = KindCases(
    kind="ClusterInformation",
    name="default",
    defaults={},
    fields=[
        anything("spec.clusterGUID"),
        anything("spec.clusterType"),
        anything("spec.calicoVersion"),
        boolean("spec.datastoreReady"),
        anything("spec.variant"),
    ],
)
