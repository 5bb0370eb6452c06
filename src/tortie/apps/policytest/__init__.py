"""Unit tests for policy: PolicyTest documents, the host that they describe, their packets, and what came of them.

    file ──document──▶ PolicyTest ──world──▶ Host of the model ──running──▶ verdicts ──report──▶ text, JSON, JUnit

Nothing here touches a datastore or an agent, and nothing but `programs` the kernel.
"""
