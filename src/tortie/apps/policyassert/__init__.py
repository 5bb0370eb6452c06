"""Questions about all packets at once: PolicyAssertion documents, and a proof or a counter-example for each question.

    file ──document──▶ PolicyAssertion ──policytest.world──▶ Host ──proving──▶ proof, or packet ──▶ text, JSON, JUnit

The spaces of packets are `tortie.model.space`; a counter-example is told only after the evaluator has said the same.
"""
