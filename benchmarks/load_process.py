"""The process of the clients, with one loop.

Its only argument is a :class:`Spec` as JSON. It prints each event as a line of JSON. Every mode ends by itself after
``warm + seconds``. A line on its input lets ``hold`` continue, and ends an attack.
"""

from __future__ import annotations

import sys

from freight.tools.loadgen.child_process import raise_descriptor_limit

from .attackers import attack
from .client import Spec
from .downloading import fetch, flood, linger
from .http2_clients import speak
from .requesting import knock, steady, visit
from .stalling import hold

MODES = {
    **{"flood": flood, "fetch": fetch, "slow": linger, "stall": linger, "hold": hold, "speak": speak},
    **{"steady": steady, "knock": knock, "visit": visit, "drip": attack, "sip": attack},
}


def main() -> None:
    raise_descriptor_limit()
    spec = Spec.read(sys.argv[1])
    MODES[spec.mode](spec)


if __name__ == "__main__":
    main()
