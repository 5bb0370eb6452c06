"""Moments, as documents and answers write them."""

import time


def utc(at_s: float) -> str:
    """That moment of the clock, to the second: `2026-01-31T15:04:05Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
