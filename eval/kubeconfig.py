"""A kubeconfig of one cluster, one user and one context."""

import json
from collections.abc import Mapping
from pathlib import Path


def write_kubeconfig(
    path: Path, server: str, user: Mapping[str, object], *, context: str = "only", ca: Path | None = None
) -> Path:
    """Write it for the API server at a URL; it may hold credentials, so only its owner may read it. Return the path.

    `user` is what a kubeconfig says of one: `{"token": …}`, `{"tokenFile": …}`, `{"exec": …}`, …
    """
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [
            {"name": context, "cluster": {"server": server, **({"certificate-authority": str(ca)} if ca else {})}}
        ],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=2))
    return path
