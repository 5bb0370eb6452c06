"""Cases of ServiceAccount, of which only the metadata is read."""

from field_cases import KindCases

CASES = KindCases(kind="ServiceAccount", defaults={}, fields=[])
