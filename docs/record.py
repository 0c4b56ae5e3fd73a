"""Records docs/demo.svg: what a terminal shows at the end of a real run of `primum demo`. `make picture` runs it.

A run that fails leaves the old picture as it was, and ends with the demo's exit status.
"""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

PICTURE: Final = Path(__file__).parent / "demo.svg"
COLUMNS, LINES = 120, 50
SEED: Final = "7"
_REDRAWN: Final = re.compile(r"(?:\x1b\[1A\x1b\[2K)+")
_NO_STYLE: Final = re.compile(r"\x1b\[\??[0-9;]*[A-Zhl]|\r")
_A_FONT_FROM_ELSEWHERE: Final = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)


def watch(*command: str) -> tuple[int, str]:
    """Run a command on a terminal of its own; return its exit status and everything that it sent there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=env) as running:  # noqa: S603 - our own command
        os.close(theirs)
        sent = bytearray()
        while chunk := _read(ours):
            sent += chunk
    os.close(ours)
    return running.returncode, sent.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the last writer has closed its end
        return b""


def last_frame(sent: str) -> str:
    """What stands on the terminal at the end: rich erases a frame line by line before it draws the next."""
    return _NO_STYLE.sub("", _REDRAWN.split(sent)[-1]).strip("\n")


def picture(frame: str) -> str:
    """Draw a frame as SVG, in the reader's own monospaced font."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(frame))
    return _A_FONT_FROM_ELSEWHERE.sub("", console.export_svg(title="make demo"))


if __name__ == "__main__":
    status, sent = watch(str(Path(sys.executable).with_name("primum")), "demo", "--seed", SEED)
    if status != 0:
        sys.stderr.write(f"{last_frame(sent)}\nthe demo ended with {status}: the picture stays as it was\n")
        sys.exit(status)
    PICTURE.write_text(picture(last_frame(sent)))
