"""What the tests of whole processes share."""

from pathlib import Path

import pytest

from shared.testing.command_line import CommandLine


@pytest.fixture
def primum(tmp_path: Path) -> CommandLine:
    """The command line on a machine without a kubeconfig and without a running Primum."""
    return CommandLine(tmp_path)
