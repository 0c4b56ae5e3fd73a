"""A registry on loopback, with the images that were pushed to it and no others: 404, and 401, are its own."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from eval.kubernetes.shop import REGISTRY
from eval.monitoring.program import Program
from shared.domain.errors import PrimumError

PRIVATE: Final = "private/"
"""What begins with this is only for those who sign in."""
USER: Final = "puller"
PASSWORD: Final = "pull-me"  # noqa: S105 - it opens a registry of test images on loopback
_PUSHES_WITHIN_S: Final = 60.0


class PushFailed(PrimumError):  # noqa: N818 - the fact, as the other errors are named
    """An image did not get into the registry."""


def private(reference: str) -> str:
    """The same image among the private ones: `host/private/place/name:tag`."""
    host, _, name = reference.partition("/")
    return f"{host}/{PRIVATE}{name}"


class Registry:
    """`async with Registry(programs, folder)`: it runs, empty, until the block ends. Raises ProgramDidNotStart.

    `programs` is where the shop's programs lie, `folder` takes its log, `address` is its host and port.
    """

    def __init__(self, programs: Path, folder: Path, address: str = REGISTRY) -> None:
        self.address, self._programs = address, programs
        arguments = (str(programs / "registry"), address, f"{USER}:{PASSWORD}")
        self._program = Program("registry", arguments, f"http://{address}", folder)

    async def __aenter__(self) -> Self:
        await self._program.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._program.kill()

    async def push(self, images: Mapping[str, Mapping[str, str]]) -> None:
        """Push the shop's program under each reference, with that environment in the image. Raises PushFailed."""
        lines = [
            json.dumps({"references": [reference], "env": dict(told), "user": USER, "password": PASSWORD})
            for reference, told in images.items()
        ]
        process = await asyncio.create_subprocess_exec(
            *(str(self._programs / "image"), "push", str(self._programs / "shop")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_PUSHES_WITHIN_S):
                _, said = await process.communicate("\n".join(lines).encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise PushFailed(
                said.decode(errors="replace").strip(), advice=f"see whether {self.address} is the registry"
            )
