"""What becomes of one packet on a host, and why.

    documents, or an agent's engine ──▶ hostview ──ways──▶ tracing ──▶ visits (the rules it met: JSON, lines)
                                                              ├─────── stagedtrace, hints
                                                              └─────── installed (the program's own answer)

`apps.explain` asks the same view about all packets; tests and assertions tell of a packet with `visits`.
"""
