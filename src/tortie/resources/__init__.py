"""`projectcalico.org/v3` documents: read with positions, validated, stored as canonical JSON, lowered to model values.

Nothing here does I/O or knows a dataplane. `codec` is the door; one file in `kinds` for each kind.
"""
