# client: urllib
# what: 413 to 40 MB and 401 to 8 MB reach a client that is still sending
# wants: ^413 413 413 413 413 413 413 413$
# wants: ^401 401 401 401 401 401 401 401$
import os
import urllib.error
import urllib.request


def status(key: str, megabytes: int) -> str:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    url = os.environ["BASE"] + "/v1/embeddings"
    request = urllib.request.Request(url, bytes(megabytes << 20), headers)
    try:
        return str(urllib.request.urlopen(request, timeout=20).status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError as error:
        return repr(error)


print(*(status(os.environ["KEY"], 40) for _ in range(8)))
print(*(status("wrong", 8) for _ in range(8)))
