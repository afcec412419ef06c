"""What a file system is, by ``f_type`` of statfs(2): in memory, on a local disk, or anything else.

**Rule.** A file system that is not in the table counts as remote, because a wait for another machine, or for another
program, has no limit: NFS, CIFS, 9p, Ceph, every FUSE, and what Linux gets after this version of the table.
"""

from __future__ import annotations

import ctypes
import sys
from enum import Enum


class Storage(Enum):
    """Where the bytes of a file system are."""

    MEMORY = "memory"
    DISK = "local disk"
    REMOTE = "remote or unknown"


_LIBC = ctypes.CDLL(None, use_errno=True)  # once: each such object leaves a cycle of a class to the collector
_STATFS_BYTES = 256  # larger than struct statfs on any architecture
_TYPE_MASK = 0xFFFFFFFF  # the numbers have 32 bits; where f_type is a signed int, a large one arrives negative

# The numbers are those of linux/magic.h and statfs(2); the names are those of /proc/filesystems.
_LOCAL = (
    (0x01021994, Storage.MEMORY, ("tmpfs", "devtmpfs")),
    (0x858458F6, Storage.MEMORY, ("ramfs",)),
    (0x958458F6, Storage.MEMORY, ("hugetlbfs",)),
    (0x0000EF53, Storage.DISK, ("ext2", "ext3", "ext4")),
    (0x58465342, Storage.DISK, ("xfs",)),
    (0x9123683E, Storage.DISK, ("btrfs",)),
    (0xF2F52010, Storage.DISK, ("f2fs",)),
    (0x2FC12FC1, Storage.DISK, ("zfs",)),
    (0xCA451A4E, Storage.DISK, ("bcachefs",)),
    (0x794C7630, Storage.DISK, ("overlay",)),  # its layers are usually local, and each file is read where it is
    (0x73717368, Storage.DISK, ("squashfs",)),
    (0xE0F5E1E2, Storage.DISK, ("erofs",)),
    (0x28CD3D45, Storage.DISK, ("cramfs",)),
    (0x00009660, Storage.DISK, ("iso9660",)),
    (0x15013346, Storage.DISK, ("udf",)),
    (0x00004D44, Storage.DISK, ("vfat", "msdos")),
    (0x2011BAB0, Storage.DISK, ("exfat",)),
    (0x7366746E, Storage.DISK, ("ntfs3",)),
    (0x5346544E, Storage.DISK, ("ntfs",)),
    (0x52654973, Storage.DISK, ("reiserfs",)),
    (0x3153464A, Storage.DISK, ("jfs",)),
    (0x00003434, Storage.DISK, ("nilfs2",)),
    (0x0000482B, Storage.DISK, ("hfsplus",)),
    (0x24051905, Storage.DISK, ("ubifs",)),
    (0x000072B6, Storage.DISK, ("jffs2",)),
)
_STORAGE = {number: storage for number, storage, _ in _LOCAL}
_LOCAL_NAMES = frozenset(name for _, _, names in _LOCAL for name in names)
# The kernel's own file systems wait for nothing, though what they show may be anything.
_KERNEL_NAMES = frozenset(
    ("binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "efivarfs", "fusectl", "mqueue")
    + ("nsfs", "proc", "pstore", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs", "tracefs")
)


def storage_of(fd: int) -> Storage:
    """Return where the bytes of an open file are. Takes one statfs(2), which Python does not have.

    A file system whose type cannot be asked is REMOTE.
    """
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    try:
        if _LIBC.fstatfs(fd, found):
            return Storage.REMOTE
    except (OSError, AttributeError):
        return Storage.REMOTE
    number = int.from_bytes(found.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder)
    return _STORAGE.get(number & _TYPE_MASK, Storage.REMOTE)


def is_local(fd: int) -> bool:
    """Return whether a file is in memory or on a local disk, so that reading its cached bytes waits for nothing else.

    Takes one statfs(2), which may itself wait if the file system is remote: see :func:`storage_of`.
    """
    return storage_of(fd) is not Storage.REMOTE


def is_local_name(type_name: str) -> bool:
    """Return whether a type in the table of mounts (proc_pid_mountinfo(5)) waits for no other machine or program."""
    return type_name in _LOCAL_NAMES or type_name in _KERNEL_NAMES
