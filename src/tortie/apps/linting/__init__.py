"""Findings: what is valid and yet hardly means what its author thinks.

    files ──reading──▶ pages ──▶ world ──checks──▶ findings ──fixing──▶ the same files, corrected
                                   ▲
                 stored documents ─┘ (`--live`)

Each check is a file in `checks`, with its code, what it looks for, why that is hardly meant, and the remedy. `running`
runs all of them, for `tortie lint`; `warnings` those that an `apply` can afford. A finding is only given where it is
certain from what is known: `world.py` says what that is.
"""
