"""Cases of Namespace."""

from field_cases import KindCases
from value_cases import full_text

CASES = KindCases(kind="Namespace", defaults={}, fields=[full_text("status.phase", "Active", "Terminating")])
