"""What /proc says of processes."""

from pathlib import Path


def children(pid: int) -> list[int]:
    """The processes that this one started and that are still there."""
    return [int(path.name) for path in _all() if _status(path).get("PPid") == str(pid)]


def family(pid: int) -> set[tuple[int, str]]:
    """A process and all below it, each with its start time: numbers are used again."""
    found, looked = {pid}, set[int]()
    parents = {int(path.name): int(_status(path).get("PPid", "0")) for path in _all()}
    while found != looked:
        looked = set(found)
        found |= {child for child, parent in parents.items() if parent in looked}
    return {(one, started) for one in found if (started := start_time(one))}


def start_time(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty if it is not there (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def command(pid: int) -> str:
    """A process's number and what it runs."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return f"{pid}: gone"
    return f"{pid}: {b' '.join(arguments[1:]).decode(errors='replace')}"


def resident_megabytes(pid: int) -> float:
    """VmRSS."""
    return int(_status(Path(f"/proc/{pid}"))["VmRSS"].removesuffix(" kB")) / 1024


def listening(pid: int) -> list[str]:
    """The local addresses of a process's listening TCP sockets, and of its bound UDP sockets."""
    own = {_target(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    found = []
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        path = Path(f"/proc/{pid}/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == state and f"socket:[{fields[9]}]" in own:
                found.append(f"{table} {fields[1]}")
    return found


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _all() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _status(process: Path) -> dict[str, str]:
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
