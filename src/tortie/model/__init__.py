"""The field's values: packets, selectors, rules, policies, endpoints, sets, desired state, and what a verdict is.

Nothing here does I/O, knows a document, or raises for anything but a programming mistake (`InvalidSelector` and
`InvalidAddress` are the two parsers' answers to text).
"""
