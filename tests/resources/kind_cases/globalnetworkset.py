"""Cases of GlobalNetworkSet."""

from field_cases import KindCases
from networkset_cases import FIELDS

CASES = KindCases(kind="GlobalNetworkSet", defaults={}, fields=FIELDS)
