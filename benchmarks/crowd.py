"""The clients, as a process of their own, with one loop.

Takes a :class:`Spec` as JSON in its only argument; tells what happens as JSON, a line an event, on its output. Every
mode ends by itself after ``warm + seconds``; a line on its input lets hold go on, and ends an attack.
"""

from __future__ import annotations

import sys

from .askers import knock, ranges, steady, visit
from .attackers import attack
from .client import Spec
from .holders import hold
from .launch import raise_descriptor_limit
from .speakers import speak
from .takers import fetch, flood, linger

MODES = {
    **{"flood": flood, "fetch": fetch, "slow": linger, "stall": linger, "hold": hold, "speak": speak},
    **{"ranges": ranges, "steady": steady, "knock": knock, "visit": visit, "drip": attack, "sip": attack},
}


def main() -> None:
    raise_descriptor_limit()
    spec = Spec.read(sys.argv[1])
    MODES[spec.mode](spec)


if __name__ == "__main__":
    main()
