"""The filter's program in an interpreter, so that both machines are tested on either."""

import errno
import re
import struct
from pathlib import Path

import pytest

from node.seccomp import ARCHITECTURES, program, refused

PID = 4242
ALLOW = 0x7FFF0000
KILL = 0x80000000
EPERM = 0x00050000 | errno.EPERM
ENOSYS = 0x00050000 | errno.ENOSYS

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def verdict(machine, number, *arguments, audit=None):
    audit = machine.audit if audit is None else audit
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    call = struct.pack("<iIQ6Q", number, audit, 0, *padded)
    code = list(struct.iter_unpack("=HBBI", program(machine, PID)))
    accumulator = position = 0
    while True:
        operation, if_true, if_false, value = code[position]
        position += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", call, value)
        elif operation == 0x06:
            return value
        else:
            tests = {
                0x15: accumulator == value,
                0x25: accumulator > value,
                0x45: bool(accumulator & value),
            }
            position += if_true if tests[operation] else if_false


@pytest.fixture(params=ARCHITECTURES)
def machine(request):
    return ARCHITECTURES[request.param]


def test_every_call_of_the_table_is_refused(machine):
    calls = refused(machine)
    assert {"socket", "connect", "execve", "ptrace", "process_vm_readv", "bpf"} <= set(calls)
    assert {verdict(machine, number) for number in calls.values()} == {EPERM}


def test_ordinary_calls_are_allowed(machine):
    read, write, mmap, futex = {1: (0, 1, 9, 202), 2: (63, 64, 222, 98)}[machine.column]
    for number in (read, write, mmap, futex):
        assert verdict(machine, number) == ALLOW


def test_calls_that_nobody_knew_when_this_was_written_do_not_exist(machine):
    for number in (463, 1000, 0x40000029, 0x7FFFFFFF, -1):
        assert verdict(machine, number) == ENOSYS


def test_another_machines_calls_kill(machine):
    for audit in (0x40000003, 0x40000028, 0):
        assert verdict(machine, 0, audit=audit) == KILL


def test_threads_but_no_processes(machine):
    thread, fork, vfork = 0x003D0F00, 0x01200011, 0x00004111
    assert verdict(machine, machine.clone, thread) == ALLOW
    assert verdict(machine, machine.clone, fork) == EPERM
    assert verdict(machine, machine.clone, vfork) == EPERM
    assert verdict(machine, 435) == ENOSYS  # clone3: its flags are out of sight


def test_signals_to_itself_only(machine):
    for number in (machine.kill, machine.tgkill):
        assert verdict(machine, number, PID) == ALLOW
        for other in (1, PID + 1, 0, (1 << 64) - 1, (1 << 64) - PID):
            assert verdict(machine, number, other) == EPERM


def test_it_stays_undumpable(machine):
    assert verdict(machine, machine.prctl, 4, 1) == EPERM
    assert verdict(machine, machine.prctl, 15) == ALLOW


def test_no_signal_by_way_of_a_descriptor(machine):
    set_owner, set_signal, set_owner_ex, lease, notify = 8, 10, 15, 1024, 1026
    for command in (set_owner, set_signal, set_owner_ex, lease, notify):
        for high in (0, 1 << 32):  # the kernel cuts a command to its low half
            assert verdict(machine, machine.fcntl, 5, high + command, PID + 1) == EPERM
    duplicate, get_flags, set_flags, get_owner = 1030, 3, 4, 9
    for command in (0, duplicate, get_flags, set_flags, get_owner):
        assert verdict(machine, machine.fcntl, 5, command, PID + 1) == ALLOW


def test_no_signal_and_no_typing_by_way_of_a_device(machine):
    for command in (0x8901, 0x8902, 0x5452, 0x5412, 0x541C):
        assert verdict(machine, machine.ioctl, 5, command) == EPERM
    is_a_terminal, close_on_exec = 0x5401, 0x5451
    for command in (is_a_terminal, close_on_exec):
        assert verdict(machine, machine.ioctl, 5, command) == ALLOW


def test_its_own_processors_only(machine):
    assert verdict(machine, machine.sched_setaffinity, 0) == ALLOW
    for other in (1, PID, PID + 1):
        assert verdict(machine, machine.sched_setaffinity, other) == EPERM


def test_no_jump_leaves_the_program(machine):
    code = list(struct.iter_unpack("=HBBI", program(machine, PID)))
    for position, (operation, if_true, if_false, _) in enumerate(code):
        if operation not in (0x20, 0x06):
            assert position + 1 + max(if_true, if_false) < len(code)


def test_limits_can_be_read_but_not_set(machine):
    assert verdict(machine, machine.prlimit64, 0, 9, 0, 0x7FFF0000) == ALLOW
    for pointer in (0x1000, 0x7FFF00000000, 1 << 32):
        assert verdict(machine, machine.prlimit64, 0, 9, pointer) == EPERM


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_table_agrees_with_the_kernels_headers(name):
    if not HEADERS[name].exists():
        pytest.skip(f"{HEADERS[name]} is not installed")
    machine = ARCHITECTURES[name]
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[name].read_text())
    kernel = {call: int(number) for call, number in reversed(found)}
    ours = refused(machine) | {call: getattr(machine, call) for call in machine._fields[2:]}
    assert kernel["clone3"] == 435
    wrong = {call for call, number in ours.items() if call in kernel and kernel[call] != number}
    assert wrong == set()
    assert len(ours.keys() & kernel.keys()) >= 100
