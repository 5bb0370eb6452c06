"""The version, as a constant: asking the installed package's metadata costs more than the whole command."""

VERSION = "0.1.0"
