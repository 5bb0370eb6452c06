"""Names that both documents and the model know, apart from the model's values: reading a document needs only these."""

DEFAULT_TIER = "default"
"""The tier of policies that name none."""
DEFAULT_ALLOW = "projectcalico-default-allow"
"""The profile that exists without a document, and allows everything."""
