"""A million attempts for the last units of limits, and a hundred thousand requests that are given up: `make races`.

The latter at the store, and by callers that leave a gateway; `CALLERS=1000` for fewer of them.

In memory and in a Redis that is started for it. Some minutes; exits with 1 when a count is not exact.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.redis_server import redis

RACES, CANCELLED = "1000000", "100000"
LIMITS, LEAVING = "bench.limits", "tests.leaving"


def main() -> int:
    with tempfile.TemporaryDirectory() as place, redis(Path(place)) as url:
        codes = [
            subprocess.run([sys.executable, "-m", module, where, *what], check=False).returncode
            for where in ("memory", url)
            for module, what in (
                (LIMITS, [RACES]),
                (LIMITS, [CANCELLED, "--cancelled"]),
                (LEAVING, [sys.argv[1]]),
            )
        ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
