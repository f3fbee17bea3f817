"""`make bench`: what this project claims about speed, memory and accuracy, beside named peers."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import accuracy
import catalogue
import cold_start
import exchange
import log_append
import negotiation
import offer_filter
import policy_engine
import replay
import stock_flower


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def _command_seconds(*arguments: str, runs: int = 5) -> float:
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Print everything; takes a few minutes, most of them stock Flower's."""
    _title("Cold start to finished job: 3 nodes, 3 rounds of training and evaluation")
    stages = cold_start.cold_start()
    for stage, seconds in stages.items():
        print(f"{seconds:8.2f} s  {stage}")
    print("   (Commensal: TLS, enrolment, policy, privacy, isolation and logs on)", flush=True)
    stock = stock_flower.cold_start()
    ours = stages["finished"]
    print(f"{stock:8.2f} s  stock Flower, the same model: SuperLink and 3 SuperNodes, TLS")
    print(f"{ours / stock:8.2f} x  Commensal against stock Flower")

    _title("One exchange with all nodes, over TLS")
    exchange.main()

    _title("A catalogue request, filtered for one participant (EDC: 5.9 s for ten assets)")
    catalogue.main()

    _title("Negotiations between two connectors, and what one of them costs")
    negotiation.main()

    _title("A durable log append")
    append, bare = log_append.seconds()
    print(f"{append * 1e6:6.0f} us, {append / bare:.2f} x a bare fdatasync of the same bytes")

    _title("One decision with eight constraints and all reasons")
    policy_engine.main()

    _title("Replay of a log, on one core")
    replay.main()

    _title("A catalogue's offers, filtered for one participant")
    offer_filter.main()

    _title("Start-up")
    ours, bare = _command_seconds("-m", "connector", "--help"), _command_seconds("-c", "pass")
    print(f"{ours:6.3f} s  commensal --help (an empty Python takes {bare:.3f} s)")

    _title("Accuracy")
    for row in (*accuracy.heart_rows(), *accuracy.flchain_rows()):
        print(row)


if __name__ == "__main__":
    main()
