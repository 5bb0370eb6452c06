"""tortie: projectcalico.org/v3 policy for Linux hosts, enforced in XDP. See docs/architecture.md for the shape."""
