"""``python -m benchmarks.attacks NAME HOST PORT [--seconds 5] [--connections 1] [--reconnect ...] [--path /]``."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from . import ATTACKS, Reconnect, drive


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attacks", description="Attack a server of your own.")
    parser.add_argument("name", choices=sorted(ATTACKS))
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--path", default="/")
    parser.add_argument("--reconnect", choices=[each.name.lower() for each in Reconnect], default="when_ended")
    options = parser.parse_args()
    script, reconnect = ATTACKS[options.name], Reconnect[options.reconnect.upper()]
    told = drive(script, options.host, options.port, options.seconds, options.connections, options.path, reconnect)
    print(json.dumps(asdict(told)))


if __name__ == "__main__":
    main()
