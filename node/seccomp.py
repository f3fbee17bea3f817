"""A system call filter for a process that computes: no network, no new processes, nobody else.

seccomp-BPF (Linux, `man 2 seccomp`), x86_64 and aarch64. It is a list of what is refused, not of
what is allowed: numerical libraries use many calls and change them between releases, and files
are Landlock's matter. Calls newer than this table do not exist (ENOSYS), so that a new kernel
opens no new door.
"""

import ctypes
import errno
import os
import struct
from typing import NamedTuple

# name, number on x86_64, number on aarch64 ("-": it has none). Linux 6.12, include/uapi.
_REFUSED = """
    socket 41 198, socketpair 53 199, connect 42 203, bind 49 200, listen 50 201, accept 43 202,
    accept4 288 242, sendto 44 206, sendmsg 46 211, sendmmsg 307 269, recvfrom 45 207,
    recvmsg 47 212, recvmmsg 299 243, setsockopt 54 208, getsockopt 55 209, getsockname 51 204,
    getpeername 52 205, shutdown 48 210,
    execve 59 221, execveat 322 281, fork 57 -, vfork 58 -,
    ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, process_madvise 440 440,
    process_mrelease 448 448, pidfd_open 434 434, pidfd_getfd 438 438, pidfd_send_signal 424 424,
    kcmp 312 272, tkill 200 130, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240,
    io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427, bpf 321 280,
    perf_event_open 298 241, userfaultfd 323 282, add_key 248 217, request_key 249 218,
    keyctl 250 219, seccomp 317 277,
    mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, unshare 272 97, setns 308 268,
    move_mount 429 429, open_tree 428 428, fsopen 430 430, fsconfig 431 431, fsmount 432 432,
    fspick 433 433, mount_setattr 442 442, name_to_handle_at 303 264, open_by_handle_at 304 265,
    fanotify_init 300 262, fanotify_mark 301 263, inotify_init 253 -, inotify_init1 294 26,
    inotify_add_watch 254 27, quotactl 179 60, quotactl_fd 443 443, acct 163 89,
    init_module 175 105, finit_module 313 273, delete_module 176 106, kexec_load 246 104,
    kexec_file_load 320 294, reboot 169 142, swapon 167 224, swapoff 168 225, iopl 172 -,
    ioperm 173 -, modify_ldt 154 -, personality 135 92, syslog 103 116, vhangup 153 58,
    settimeofday 164 170, clock_settime 227 112, adjtimex 159 171, clock_adjtime 305 266,
    sethostname 170 161, setdomainname 171 162, setrlimit 160 164, setpriority 141 140,
    ioprio_set 251 30, sched_setparam 142 118, sched_setscheduler 144 119, sched_setattr 314 274,
    migrate_pages 256 238, move_pages 279 239, get_robust_list 274 100,
    shmget 29 194, shmat 30 196, shmctl 31 195, shmdt 67 197, msgget 68 186, msgsnd 69 189,
    msgrcv 70 188, msgctl 71 187, semget 64 190, semop 65 193, semctl 66 191, semtimedop 220 192,
    mq_open 240 180, mq_unlink 241 181, mq_timedsend 242 182, mq_timedreceive 243 183,
    mq_notify 244 184, mq_getsetattr 245 185,
    chmod 90 -, fchmod 91 52, fchmodat 268 53, fchmodat2 452 452, chown 92 -, lchown 94 -,
    fchown 93 55, fchownat 260 54, utime 132 -, utimes 235 -, utimensat 280 88, futimesat 261 -,
    truncate 76 45, mknod 133 -, mknodat 259 33, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7,
    removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16
"""
_NEWEST_KNOWN = 462  # mseal
_CLONE3 = 435  # ENOSYS: its flags cannot be inspected, and the C library then falls back to clone

# Commands of fcntl, the same on both machines: F_SETOWN, F_SETSIG, F_SETOWN_EX. Threat: the kernel
# itself then sends a chosen signal to the node when a pipe becomes readable, past the filter of
# kill, and past Landlock where that knows no signals. F_SETLEASE and F_NOTIFY: a lease on a file
# makes the hospital's own writers wait.
_FCNTL = (8, 10, 15, 1024, 1026)
# Commands of ioctl: FIOSETOWN, SIOCSPGRP and FIOASYNC, to the same end; TIOCSTI and TIOCLINUX,
# which type into a terminal (standard error may be one, where the records are invented).
_IOCTL = (0x8901, 0x8902, 0x5452, 0x5412, 0x541C)
# Left alone, for they reach this process only: timer_create with SIGEV_THREAD_ID (the kernel looks
# for the thread in the caller's own group) and prctl(PR_SET_PDEATHSIG), a signal to the caller.

_CLONE_THREAD = 0x00010000
_PR_SET_DUMPABLE = 4
_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_SET_MODE_FILTER, _ALL_THREADS = 1, 1


class Architecture(NamedTuple):
    """What differs between machines: AUDIT_ARCH, our column of the table, calls with conditions."""

    audit: int
    column: int
    clone: int
    kill: int
    tgkill: int
    prctl: int
    prlimit64: int
    seccomp: int
    fcntl: int
    ioctl: int
    sched_setaffinity: int


ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, 1, 56, 62, 234, 157, 302, 317, 72, 16, 203),
    "aarch64": Architecture(0xC00000B7, 2, 220, 129, 131, 167, 261, 277, 25, 29, 122),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install() -> None:
    """Filter all threads of this process, for good. Needs no_new_privs; raises `OSError`."""
    machine = ARCHITECTURES.get(os.uname().machine)
    if machine is None:
        raise OSError(errno.ENOSYS, "no system call table for this machine")
    instructions = program(machine, os.getpid())
    filter_ = _Program(len(instructions) // 8, instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(machine.seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(filter_)):
        raise OSError(ctypes.get_errno(), "seccomp")


def refused(machine: Architecture) -> dict[str, int]:
    """Name and number of every call that is refused whatever its arguments."""
    rows = (entry.split() for entry in _REFUSED.split(","))
    return {row[0]: int(row[machine.column]) for row in rows if row[machine.column] != "-"}


def program(machine: Architecture, pid: int) -> bytes:
    """The filter as struct sock_filter[], for a process of that id."""
    refuse = _operation(_RETURN, _ERRNO | errno.EPERM)
    unknown = _operation(_RETURN, _ERRNO | errno.ENOSYS)
    allow = _operation(_RETURN, _ALLOW)
    parts = [
        # Another architecture's numbers (32-bit calls on x86_64) would mean other calls.
        _operation(_LOAD, _ARCHITECTURE),
        _operation(_JUMP_EQUAL, machine.audit, 1, 0),
        _operation(_RETURN, _KILL_PROCESS),
        _operation(_LOAD, _NUMBER),
        # Also all of x32, whose numbers start at 0x40000000.
        _operation(_JUMP_GREATER, _NEWEST_KNOWN, 0, 1),
        unknown,
        *(_on(number, refuse) for number in refused(machine).values()),
        _on(_CLONE3, unknown),
        _on(
            machine.clone,
            _argument(0),
            _operation(_JUMP_ANY_BIT, _CLONE_THREAD, 0, 1),
            allow,
            refuse,
        ),
        *(
            _on(number, _argument(0), _operation(_JUMP_EQUAL, pid, 0, 1), allow, refuse)
            for number in (machine.kill, machine.tgkill)
        ),
        _on(
            machine.prctl,
            _argument(0),
            _operation(_JUMP_EQUAL, _PR_SET_DUMPABLE, 1, 0),
            allow,
            refuse,
        ),
        # The kernel too looks at no more than the low half of a command.
        *(
            _on(
                number,
                _argument(1),
                *(_operation(_JUMP_EQUAL, command, 0, 1) + refuse for command in commands),
                allow,
            )
            for number, commands in ((machine.fcntl, _FCNTL), (machine.ioctl, _IOCTL))
        ),
        # Its own processors, not the node's: 0 is the calling thread.
        _on(
            machine.sched_setaffinity,
            _argument(0),
            _operation(_JUMP_EQUAL, 0, 1, 0),
            refuse,
            allow,
        ),
        # Limits may be read (the third argument is null), not changed.
        _on(
            machine.prlimit64,
            _argument(2),
            _operation(_JUMP_EQUAL, 0, 0, 3),
            _argument(2, high=True),
            _operation(_JUMP_EQUAL, 0, 0, 1),
            allow,
            refuse,
        ),
        allow,
    ]
    return b"".join(parts)


def _operation(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _argument(index: int, *, high: bool = False) -> bytes:
    # Both machines are little-endian: the low half of an argument comes first.
    return _operation(_LOAD, _ARGUMENTS + 8 * index + (4 if high else 0))


def _on(number: int, *body: bytes) -> bytes:
    """For that call run the body, which returns; for others skip it."""
    instructions = b"".join(body)
    return _operation(_JUMP_EQUAL, number, 0, len(instructions) // 8) + instructions
