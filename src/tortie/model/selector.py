"""The label selector language (placeholder interface; see the selector issue)."""
