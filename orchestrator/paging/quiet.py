"""Until when a receiver's quiet hours last. Pure: the instant comes in, zones come from tzdata.

Reckoned by the clock on the wall of that zone, so that 07:00 is 07:00 in both halves of the year.
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sites.notify import QuietHours


def quiet_until(quiet: QuietHours | None, now_unix_seconds: float) -> float | None:
    """When the quiet hours that are on end, in Unix time; None while none are on."""
    if quiet is None:
        return None
    zone = ZoneInfo(quiet.timezone)
    begins, ends = time.fromisoformat(quiet.from_time), time.fromisoformat(quiet.to_time)
    now = datetime.fromtimestamp(now_unix_seconds, UTC)
    today = now.astimezone(zone).date()
    for day in (today - timedelta(days=1), today):
        begin = datetime.combine(day, begins, zone).astimezone(UTC)
        last = day if ends > begins else day + timedelta(days=1)
        end = datetime.combine(last, ends, zone).astimezone(UTC)
        if begin <= now < end:
            return end.timestamp()
    return None
