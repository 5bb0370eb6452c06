"""A rule's action in nft's words."""

from typing import assert_never

from tortie.model.rule import Action


def statement(action: Action, *, allow: str, deny: str = "drop") -> str:
    """What an action does. What Allow and Deny mean depends on the hook; Pass returns to whoever asked the tier."""
    match action:
        case Action.ALLOW:
            return allow
        case Action.DENY:
            return deny
        case Action.PASS:
            return "return"
        case Action.LOG:
            # No rate limit: upstream's default; a configurable one does not exist yet.
            return 'log prefix "tortie-packet: " level info'
        case _:
            assert_never(action)
