"""Cases of NetworkSet."""

from field_cases import KindCases
from networkset_cases import FIELDS

CASES = KindCases(kind="NetworkSet", defaults={}, fields=FIELDS)
