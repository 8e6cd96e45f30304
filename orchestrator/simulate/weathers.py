"""How the links of a scenario fare: the named weathers, and the lease that they are measured by."""

from orchestrator.simulate.clocks import MS, SECOND
from orchestrator.simulate.network import Weather

T_NS = 4 * SECOND
FAIR = Weather(1 * MS, 20 * MS, 300 * MS, slow_share=0.02)
ROUGH = Weather(
    1 * MS, 60 * MS, 3 * SECOND, slow_share=0.08, lost_share=0.06, twice_share=0.04, late_share=0.02
)
LATE = Weather(
    1 * MS, 40 * MS, 2 * SECOND, slow_share=0.06, lost_share=0.02, twice_share=0.04, late_share=0.25,
    late_ns=8 * SECOND,
)  # fmt: skip
EDGE = Weather(0, 0, 2 * SECOND, slow_share=0.15, lost_share=0.03, late_share=0.03, late_ns=20 * SECOND)
SHARP = Weather(0, 0, 2 * SECOND, slow_share=0.03, lost_share=0.005)
STORM = Weather(
    0, 0, 2 * SECOND, slow_share=0.15, lost_share=0.15, twice_share=0.1, late_share=0.05, late_ns=20 * SECOND
)
SLOW = Weather(200 * MS, 1200 * MS, 3 * SECOND, slow_share=0.1, lost_share=0.02, late_share=0.05)
CLEAR = Weather(0, 0, 0)
OVERTAKING = Weather(0, 0, 3 * SECOND // 2, slow_share=0.4)
"""No message is lost, and what was sent later often comes first."""
