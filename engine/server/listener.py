"""The listening sockets of a worker, which the HTTP server opens and keeps to itself.

All workers share one port (SO_REUSEPORT); the kernel picks a socket for each new connection. A
worker that stops closes its socket, and connections that wait there unaccepted are reset. So
before a worker is replaced, the kernel is set to pick only the successor's socket:

    successor listens -> `select_socket` -> the old worker accepts what waits -> it closes -> `clear_selection`

The kernel picks by a classic BPF program of one instruction that returns an index into the sockets
of the port, in the order in which they began to listen (socket(7), SO_ATTACH_REUSEPORT_CBPF). An
index that is out of range makes it pick as without a program.

A worker that stops for good first has the kernel drop what would begin a connection (a SYN), by a
filter of its socket: what was accepted or waits is served, later connections are tried again and then
refused by the closed port. Linux only; elsewhere nothing happens, and a few connections may be
reset.
"""

import contextlib
import ctypes
import os
import socket
import stat
import sys
from collections.abc import Iterator, Sequence

# asm-generic/socket.h
SO_ATTACH_FILTER, SO_ATTACH_REUSEPORT_CBPF, SO_DETACH_REUSEPORT_BPF = 26, 51, 68
# linux/bpf_common.h: load a byte, jump if a bit is set, return
LOAD_BYTE, JUMP_IF_SET, RETURN = 0x30, 0x45, 0x06

_FLAGS, _SYN, _ALL = 13, 0x02, 0xFFFFFFFF  # RFC 9293, 3.1: the byte of the flags
_WITHOUT_SYN = [
    (LOAD_BYTE, 0, 0, _FLAGS),
    (JUMP_IF_SET, 1, 0, _SYN),
    (RETURN, 0, 0, _ALL),
    (RETURN, 0, 0, 0),
]

_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class _Instruction(ctypes.Structure):
    """A `struct sock_filter` (linux/filter.h)."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("constant", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    """A `struct sock_fprog` (linux/filter.h)."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.POINTER(_Instruction)))


def listeners(port: int) -> list[socket.socket]:
    """Duplicates of this process's sockets that listen on `port`; the caller closes them."""
    return [found for found in _sockets() if _keeps(found, port)]


def _sockets() -> Iterator[socket.socket]:
    if sys.platform != "linux":
        return
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                yield socket.socket(fileno=os.dup(int(name)))


def _keeps(found: socket.socket, port: int) -> bool:
    with contextlib.suppress(OSError):
        is_listening = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if found.family in _FAMILIES and is_listening and found.getsockname()[1] == port:
            return True
    found.close()
    return False


def is_listening(port: int) -> bool:
    """Whether this process listens on `port`."""
    found = listeners(port)
    for listener in found:
        listener.close()
    return bool(found)


def wait_for_first_bytes(port: int) -> None:
    """Let a connection be accepted with its first bytes, or after a second without any.

    A worker that stops drops connections that it has accepted and that have sent nothing.
    """
    for listener in listeners(port):
        with listener:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)


def select_socket(port: int, index: int) -> None:
    """Have every new connection to `port` go to the socket at `index` of those that listen."""
    _set_option(port, SO_ATTACH_REUSEPORT_CBPF, _program([(RETURN, 0, 0, index)]))


def clear_selection(port: int) -> None:
    """Let the kernel pick among all sockets of `port` again."""
    _set_option(port, SO_DETACH_REUSEPORT_BPF, ctypes.c_int(0))


def drop_new_connections(port: int) -> None:
    """Let no connection begin at this process's sockets any more; those that wait are accepted."""
    _set_option(port, SO_ATTACH_FILTER, _program(_WITHOUT_SYN))


def _program(steps: Sequence[tuple[int, int, int, int]]) -> _Program:
    code = (_Instruction * len(steps))(*(_Instruction(*step) for step in steps))
    return _Program(len(steps), code)


def _set_option(port: int, option: int, value: ctypes.Structure | ctypes.c_int) -> None:
    """`setsockopt` with a value that holds a pointer; a kernel that refuses changes nothing."""
    for listener in listeners(port):
        with listener:
            ctypes.CDLL(None).setsockopt(
                listener.fileno(),
                socket.SOL_SOCKET,
                option,
                ctypes.byref(value),
                ctypes.sizeof(value),
            )
