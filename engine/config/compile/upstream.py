"""Where a provider serves one endpoint: origin, path, query, and the edits of its bodies."""

from functools import lru_cache
from urllib.parse import quote, urlsplit

from engine.config import model
from engine.config.compile.binding import Binding
from engine.config.compile.body import compile_edits
from engine.config.rules import steps
from engine.config.template import Template
from engine.plan import plan

_PORTS = {"http": 80, "https": 443}


def compile_upstream(
    binding: Binding, provider: model.Provider, served: model.ProviderEndpoint, base: str | None
) -> plan.Upstream | None:
    """The upstream of an endpoint below the URL `base`; None when a variable of its URL is missing."""
    path = binding.templates[served.path_at]
    root = base if path.source.startswith("/") else ""
    sample = binding.render(path, model="m")
    query = _query(binding, served)
    stream = binding.templates[(*served.at, "stream_path")] if served.stream_path else None
    streamed = binding.render(stream, model="m") if stream else None
    if root is None or sample is None or query is None:
        return None
    return plan.Upstream(
        origin=_origin(binding, provider, root + sample),
        path=_path(binding, path, root, sample),
        stream_path=_path(binding, stream, root, streamed or "") if stream else None,
        edits=compile_edits(served.body) if served.body else None,
        takes=_takes(served),
        query="&".join(f"{n}={v}" for n, v in query).encode("ascii"),
        query_names=frozenset(name.casefold().encode() for name, _ in query),
        timeouts=timeouts_at(binding.config, provider, served.name),
        include_usage=served.include_usage,
    )


def _origin(binding: Binding, provider: model.Provider, url: str) -> plan.Origin:
    start = url.removesuffix(path_of(url))
    return _server(start, binding.values.ca if start.startswith("https:") else None, provider.proxy)


@lru_cache(maxsize=256)  # all endpoints of a provider have one
def _server(url: str, ca: str | None, proxy: str | None) -> plan.Origin:
    parts = urlsplit(url)
    port = parts.port or _PORTS[parts.scheme]
    return plan.Origin(parts.scheme, parts.hostname or "", port, ca, proxy)


def timeouts_at(config: model.Config, provider: model.Provider, endpoint: str) -> plan.Timeouts:
    """The timeouts of an endpoint at a provider, whose own take precedence."""
    own = next((e.timeouts for e in config.endpoints if e.name == endpoint), {})
    return config.timeouts.overridden(own, provider.timeouts)


def _path(binding: Binding, path: Template, root: str, sample: str) -> bytes | plan.Render:
    if ("model",) not in path.names:
        return path_of(root + sample).encode("ascii")
    bound = binding.bind(path, None)

    def render(context: plan.Context) -> str | None:
        text = bound(context)
        return None if text is None else path_of(root + text)

    return render


def path_of(url: str) -> str:
    """The path of an absolute URL as it is written, without normalisation."""
    rest = url.partition("://")[2]
    start = rest.find("/")
    return rest[start:] if start >= 0 else "/"


def _query(binding: Binding, served: model.ProviderEndpoint) -> list[tuple[str, str]] | None:
    pairs = []
    for name in served.query:
        value = binding.render(binding.templates[(*served.at, "query", name)])
        if value is None:
            return None
        pairs.append((quote(name, safe=""), quote(value, safe="-._~:,@")))
    return pairs


def _takes(served: model.ProviderEndpoint) -> frozenset[str] | None:
    """The fields that the endpoint takes, with those that its own edits write."""
    if served.takes is None:
        return None
    body = served.body
    written = (*body.rename.values(), *body.default, *body.set) if body else ()
    return plan.ROUTING_FIELDS | {*served.takes, *(steps(name)[0] for name in written)}
