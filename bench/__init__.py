"""Benchmarks: what a packet's verdict costs, how soon a change is enforced, what the agent and the commands take.

    python -m bench [--quick] [--only GROUP ...] [--output FILE]

`docs/benchmarks.md` says how each figure is measured and what it can not tell. Needs root; network namespaces only.
"""
