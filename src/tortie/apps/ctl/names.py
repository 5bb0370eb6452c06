"""What packets meet, by the names that people gave it."""


def decider(tier: str, policy: str, rule: int | None) -> str:
    """A rule, or (`rule` None) what decides without being one."""
    kind, _, rest = policy.partition("(")
    name = rest[:-1]
    match kind, rule:
        case "Tier", None:
            return f"end of tier {name}"
        case "Profile", None:
            return f"{policy} does not exist"
        case "HostEndpoint", None:
            return f"{policy} default deny"
        case _:
            return f"{policy} rule {rule}" + (f" ({tier})" if tier else "")


def span(seconds: float) -> str:
    """A length of time in the unit that suits it."""
    whole = int(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def some(things: list[str], most: int, *, more: int = 0) -> str:
    """The first of them in a line, and how many there are beside."""
    rest = max(0, len(things) - most) + more
    return ", ".join(things[:most]) + (f" and {rest} more" if rest else "")
