"""What an account has used: the overview with its plots, the usage page with its table, and CSV."""

import csv
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from engine.accounts import keys, provider_keys, usage
from engine.accounts.lookup import key_names
from engine.accounts.usage import By, Usage
from engine.admin import formats
from engine.admin.first_calls import curl, find_call, find_example
from engine.admin.pages.common import account_of, link
from engine.admin.pages.providers import title_of
from engine.admin.rendering import page
from engine.admin.request import Access, Page, PageError, PageRequest
from engine.admin.usage_view import (
    HOUR,
    PERIODS,
    Counts,
    UsagePeriod,
    latency_plot,
    requests_plot,
    table_row,
    tiles,
    total,
    unpriced_text,
)

DEFAULT = "7d"
TOP = 5
MAX_ROWS = 200
COLUMNS: Mapping[str, str] = {"model": "Model", "key": "Key", "provider": "Provider", "day": "Day"}
CSV_HEADER = (
    "requests", "errors", "input_tokens", "output_tokens", "milliseconds_total", "cost_usd", "unpriced_requests",
)  # fmt: skip
KEY_HIDDEN = "sk-orq-…"
DELETED_KEY = "a key that is gone"
_BY: Mapping[str, By] = {"model": "model", "key": "key", "provider": "provider", "day": "day"}
_TOPS: tuple[By, ...] = ("model", "key")


def overview(request: PageRequest) -> Response:
    """Figures and plots; the first steps for an account that has called nothing."""
    with request.context.database.read() as connection:
        used = usage.has_usage(connection, account_of(request).id)
    return _dashboard(request) if used else _first_steps(request)


def _first_steps(request: PageRequest) -> Response:
    account_id, catalogue = account_of(request).id, request.server.catalogue()
    with request.context.database.read() as connection:
        saved = [info.provider for info in provider_keys.list_provider_keys(connection, account_id)]
        has_key = bool(keys.list_keys(connection, account_id, limit=1))
    titles = [title_of(catalogue.providers[name]) for name in saved if name in catalogue.providers]
    plan = catalogue.plan
    example = find_example(plan, saved, None) if plan else None
    start = {
        "saved": ", ".join(titles or saved),
        "has_key": has_key,
        "simple": _simple_providers(request),
        "curl": curl(example, request.context.gateway_url, KEY_HIDDEN) if example else "",
    }
    return page(request, "overview.html", start=start)


def _simple_providers(request: PageRequest) -> list[dict[str, str]]:
    """Providers that one value is enough for and that serve a first call, in the order of the file."""
    catalogue = request.server.catalogue()
    plan = catalogue.plan
    found = []
    for configured in catalogue.loaded.config.providers:
        entry = catalogue.providers[configured.name]
        required = [field for field in entry.fields if field.is_required]
        provider = plan.providers.get(entry.name) if plan else None
        if entry.single_field and len(required) <= 1 and plan and provider:
            found.append((find_call(plan, provider) is None, entry))
    found.sort(key=lambda each: each[0])
    return [{"name": entry.name, "title": title_of(entry)} for _, entry in found]


@dataclass(frozen=True, slots=True)
class _Query:
    """What a page shows: a period, by what its requests are grouped, and whether only those of one key."""

    period: UsagePeriod
    now: float
    by: By = "day"
    key_id: str | None = None

    @classmethod
    def read(cls, request: PageRequest, by: str = "day") -> "_Query":
        """The query of the page's address.

        Raises:
            PageError: it names something unknown.
        """
        period = PERIODS.get(request.query.text("range", DEFAULT))
        if period is None or by not in _BY:
            raise PageError(404, "Usage is not shown by that.")
        return cls(period, time.time(), _BY[by], request.query.text("key")[:36] or None)

    @property
    def kept(self) -> dict[str, str]:
        """What a link to another grouping keeps."""
        return {"range": self.period.key, **({"key": self.key_id} if self.key_id else {})}

    def steps(self) -> "_Query":
        """The same by the steps of the period, for a plot."""
        return replace(self, by="hour" if self.period.step == HOUR else "day")


def _dashboard(request: PageRequest) -> Response:
    query = _Query.read(request)
    by_step, whole = _by_step(request, query)
    documents = request.server.catalogue().loaded.documents
    return page(
        request,
        "overview.html",
        start=None,
        range=_range(query.period, "/", {}),
        tiles=tiles(whole, has_prices="prices.yaml" in documents),
        plots=[
            requests_plot(query.period, by_step, query.now),
            latency_plot(query.period, by_step, query.now),
        ],
        tops=[_top(request, replace(query, by=by), whole) for by in _TOPS],
    )


def _range(period: UsagePeriod, path: str, kept: Mapping[str, str]) -> dict[str, Any]:
    tabs = [(p.key, p.tab, link(path, range=p.key, **kept)) for p in PERIODS.values()]
    return {"key": period.key, "text": period.text, "tabs": tabs}


def _by_step(request: PageRequest, query: _Query) -> tuple[dict[int, Counts], Counts]:
    rows = _read(request, query.steps())
    by_step = {int(row.label): Counts.of(row) for row in rows}
    return by_step, total(list(by_step.values()))


def _read(request: PageRequest, query: _Query, limit: int | None = None) -> list[Usage]:
    starts = query.period.starts(query.now)
    until = starts[-1] + query.period.step  # whole steps, which are read from their sums
    account_id, by, key_id = account_of(request).id, query.by, query.key_id
    with request.context.database.read() as connection:
        return usage.read_usage(
            connection, account_id, starts[0], until, by, key_id=key_id, limit=limit
        )


def _top(request: PageRequest, query: _Query, whole: Counts) -> dict[str, Any]:
    rows = _read(request, query, TOP)
    return {
        "by": query.by,
        "title": f"{COLUMNS[query.by]}s",
        "column": COLUMNS[query.by],
        "rows": _table(request, query, rows, whole),
    }


def _table(
    request: PageRequest, query: _Query, rows: Sequence[Usage], whole: Counts
) -> list[dict[str, Any]]:
    names = _names(request, query.by, [row.label for row in rows])
    return [
        table_row(names[row.label], _href(query, row.label, names), Counts.of(row), whole)
        for row in rows
    ]


def _names(request: PageRequest, by: By, labels: Sequence[str]) -> Mapping[str, str]:
    """What each label is called: keys by their names, days by their dates."""
    if by == "day":
        return {label: formats.day(int(label)) for label in labels}
    if by != "key":
        return {label: label or "none" for label in labels}
    with request.context.database.read() as connection:
        known = key_names(connection, account_of(request).id, labels)
    return {label: known.get(label, DELETED_KEY) for label in labels}


def _href(query: _Query, label: str, names: Mapping[str, str]) -> str:
    if query.by != "key" or names[label] == DELETED_KEY:
        return ""
    return link("/usage", key=label, by="day", range=query.period.key)


def usage_page(request: PageRequest) -> Response:
    query = _Query.read(request, request.query.text("by", "model"))
    by_step, whole = _by_step(request, query)
    rows = _read(request, query, MAX_ROWS)
    table = _table(request, query, rows[::-1] if query.by == "day" else rows, whole)
    kept = {"by": query.by, **query.kept}
    del kept["range"]
    return page(
        request,
        "usage.html",
        range=_range(query.period, "/usage", kept),
        only=_only(request, query),
        csv=link("/usage.csv", by=query.by, **query.kept),
        chart=requests_plot(query.period, by_step, query.now),
        bys=[(by, name, link("/usage", by=by, **query.kept)) for by, name in COLUMNS.items()],
        by=query.by,
        column=COLUMNS[query.by],
        rows=table,
        total=table_row("Total", "", whole, whole) if len(rows) < MAX_ROWS else None,
        has_tokens=whole.input_tokens is not None or whole.output_tokens is not None,
        has_cost=whole.cost_nano_usd is not None or whole.unpriced > 0,
        footnote=_footnote(whole, len(rows)),
    )


def _only(request: PageRequest, query: _Query) -> dict[str, str] | None:
    if query.key_id is None:
        return None
    name = _names(request, "key", [query.key_id])[query.key_id]
    return {"text": name, "clear": link("/usage", range=query.period.key, by=query.by)}


def _footnote(whole: Counts, rows: int) -> str:
    notes = []
    if rows >= MAX_ROWS:
        notes.append(f"The {MAX_ROWS} with the most requests; the CSV has all.")
    if whole.requests and whole.input_tokens is None and whole.output_tokens is None:
        notes.append("No response in this time reported tokens.")
    if whole.unpriced:
        notes.append(f"{unpriced_text(whole)}: they are not in the sums.")
    return " ".join(notes)


def usage_csv(request: PageRequest) -> Response:
    """The table as CSV (RFC 4180), all of it; what is not known is an empty field."""
    query = _Query.read(request, request.query.text("by", "model"))
    by, rows = query.by, _read(request, query)
    names = _names(request, by, [row.label for row in rows])
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((*(("key_id",) if by == "key" else ()), by, *CSV_HEADER))
    writer.writerows(_csv_rows(rows, by, names))
    file = f"usage-by-{by}-{query.period.key}.csv"
    headers = {"content-disposition": f'attachment; filename="{file}"'}
    return Response(text.getvalue(), headers=headers, media_type="text/csv")


def _csv_rows(
    rows: Sequence[Usage], by: By, names: Mapping[str, str]
) -> Iterator[tuple[object, ...]]:
    for row in rows:
        name = formats.iso(int(row.label))[:10] if by == "day" else _harmless(names[row.label])
        first = (row.label, name) if by == "key" else (name,)
        yield (
            *first,
            row.requests,
            row.errors,
            row.input_tokens,
            row.output_tokens,
            row.ms_total,
            _dollars(row.cost_nano_usd),
            row.unpriced,
        )


def _dollars(nano_usd: int | None) -> str:
    """An exact number of dollars, without an exponent; empty where it is not known."""
    return "" if nano_usd is None else f"{Decimal(nano_usd).scaleb(-9):f}"


def _harmless(text: str) -> str:
    """`text` so that no spreadsheet takes it for a formula."""
    return "'" + text if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


USAGE_PAGES = (
    Page("GET", "/", overview, Access.VIEWER, "overview"),
    Page("GET", "/usage", usage_page, Access.VIEWER, "usage"),
    Page("GET", "/usage.csv", usage_csv, Access.VIEWER, "usage"),
)
