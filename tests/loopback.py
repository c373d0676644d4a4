"""httpx2 for servers of this machine: plain HTTP, so no client loads CA certificates (30 ms each)."""

from functools import partial

import httpx2

AsyncClient = partial(httpx2.AsyncClient, verify=False)
Client = partial(httpx2.Client, verify=False)
delete = partial(httpx2.delete, verify=False)
get = partial(httpx2.get, verify=False)
options = partial(httpx2.options, verify=False)
post = partial(httpx2.post, verify=False)
stream = partial(httpx2.stream, verify=False)
ConnectError = httpx2.ConnectError
RemoteProtocolError = httpx2.RemoteProtocolError
