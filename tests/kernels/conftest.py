"""Kernels that could not be tested are told at the end of the run, whatever else is."""

import pytest

_UNTESTED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Room for them."""
    config.stash[_UNTESTED] = []


@pytest.fixture
def untested(request: pytest.FixtureRequest) -> list[str]:
    """Sentences for the end of the run."""
    return request.config.stash[_UNTESTED]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say it in red."""
    for sentence in config.stash[_UNTESTED]:
        terminalreporter.write_line(f"NOT TESTED: {sentence}", red=True, bold=True)
