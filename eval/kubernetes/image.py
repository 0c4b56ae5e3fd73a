"""Container images from a static program, with no Docker and no registry: an archive that containerd takes."""

import hashlib
import io
import json
import tarfile
from pathlib import Path


def archive(reference: str, program: Path, to: Path) -> Path:
    """Write an image that holds one static program, which is what it runs, as a tar in Docker's format.

    The same program gives the same image, bit for bit.
    """
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
    ).encode()
    named = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": named, "RepoTags": [reference], "Layers": [f"{layer_digest}.tar"]}]
    files = {named: config, f"{layer_digest}.tar": layer, "manifest.json": json.dumps(manifest).encode()}
    to.write_bytes(_tar(files, mode=0o644))
    return to


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()
