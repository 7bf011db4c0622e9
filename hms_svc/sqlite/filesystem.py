"""The file system of a path: SQLite's locks do not work on network file systems."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from hms_svc.ports.inspection import Capacity

NETWORK_TYPES: Final = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "glusterfs",
        "lustre",
        "beegfs",
        "gpfs",
        "ocfs2",
        "davfs",
        "fuse.davfs2",
        "ncpfs",
    }
)


def filesystem_type(path: Path, mounts: str | None = None) -> str:
    """Return the type of the path's file system (Linux), empty if unknown.

    `mounts` is the text of /proc/self/mounts, which is read if it is None.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(errors="replace")
        except OSError:
            return ""
    resolved = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
        if len(point.parts) >= best and resolved.is_relative_to(point):
            best, kind = len(point.parts), fields[2]
    return kind


def is_network(path: Path) -> bool:
    """Return whether the path is on a network file system."""
    return filesystem_type(path) in NETWORK_TYPES


def capacity_of(path: Path) -> Capacity | None:
    """Return the size of a file and its log, and the limit by the free space; None if unknown."""
    try:
        disk = os.statvfs(path)
        used = sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())
    except OSError:
        return None
    return Capacity(used=used, limit=used + disk.f_bavail * disk.f_frsize)
