# client: http.client
# what: 413 to 40 MB and 401 to 8 MB reach a client that is still sending
# wants: ^413 413 413 413 413 413 413 413$
# wants: ^401 401 401 401 401 401 401 401$
import http.client
import os


def status(key: str, megabytes: int) -> str:
    connection = http.client.HTTPConnection(os.environ["BASE"].removeprefix("http://"), timeout=20)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    try:
        connection.request("POST", "/v1/embeddings", bytes(megabytes << 20), headers)
        return str(connection.getresponse().status)
    except OSError as error:
        return repr(error)
    finally:
        connection.close()


print(*(status(os.environ["KEY"], 40) for _ in range(8)))
print(*(status("wrong", 8) for _ in range(8)))
