"""Endpoints that list a profile which does not exist: it denies at its place in the list."""

from collections.abc import Iterator

from tortie.apps.linting.check import Check
from tortie.apps.linting.documents import Documents
from tortie.apps.linting.finding import Suspicion
from tortie.model.names import DEFAULT_ALLOW
from tortie.resources.fields import suggest

_ENDPOINTS = ("HostEndpoint", "WorkloadEndpoint")
_IMPLIED = ("kns.", "ksa.")
"""How profiles are called that stand for namespaces and service accounts of Kubernetes, which are managed there."""


def _look(documents: Documents) -> Iterator[Suspicion]:
    known = {DEFAULT_ALLOW, *(one.name for one in documents.resources if one.kind == "Profile")}
    if not documents.is_live and len(known) == 1:
        return  # files without any profile: they are elsewhere
    for subject in documents.subjects:
        listed = subject.resource.spec.get("profiles")
        if subject.resource.kind not in _ENDPOINTS or not isinstance(listed, list):
            continue
        for index, profile in enumerate(map(str, listed)):
            if profile not in known and not profile.startswith(_IMPLIED):
                where = "stored or in the files" if documents.is_live else "in the files"
                yield Suspicion(
                    subject=subject,
                    way=("spec", "profiles", index),
                    found=f"lists profile {profile}, which does not exist {where}",
                    why="a missing profile denies at its place in the list, and those behind it are not asked",
                    remedy=suggest(profile, dict.fromkeys(known)) or "write the Profile document too, or remove it",
                )


CHECK: Check[Documents] = Check("TT2016", "a profile that is not there", _look)
