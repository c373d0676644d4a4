"""httpx2 for servers of this machine: plain HTTP, so no client loads CA certificates (30 ms each)."""

from functools import partial

import httpx2

PATIENCE = 30.0  # seconds: a busy machine takes its time
AsyncClient = partial(httpx2.AsyncClient, verify=False, timeout=PATIENCE)
Client = partial(httpx2.Client, verify=False, timeout=PATIENCE)
delete = partial(httpx2.delete, verify=False, timeout=PATIENCE)
get = partial(httpx2.get, verify=False, timeout=PATIENCE)
options = partial(httpx2.options, verify=False, timeout=PATIENCE)
post = partial(httpx2.post, verify=False, timeout=PATIENCE)
stream = partial(httpx2.stream, verify=False, timeout=PATIENCE)
ConnectError = httpx2.ConnectError
RemoteProtocolError = httpx2.RemoteProtocolError
