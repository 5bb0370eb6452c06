"""Who can reach what, and why: the policy of a host over all packets at once, told for people.

    documents ─▶ HostView ──endpoint by endpoint──▶ study (exact sets of packets) ─▶ rows (networks, names) ─▶ answers

`tortie explain port|host|policy|endpoint`. Nothing here touches a datastore, an agent or the kernel.
"""
