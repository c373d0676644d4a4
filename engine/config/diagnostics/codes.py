"""The catalogue of configuration findings: data only.

The letter of a code is the phase that finds it: F file, Y YAML, S schema, X reference between
entries, T template, E environment, A advice. A code is never used again; old ones are in RETIRED.
"""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """`error` stops `serve`; `warning` does not; `note` is information about the environment."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding: its stable name, how bad it is, and why it is one."""

    code: str
    name: str
    severity: Severity
    summary: str
    explanation: str

    @property
    def url(self) -> str:
        """Where it is documented, relative to the project."""
        return f"docs/codes.md#{self.code.lower()}-{self.name}"

    @property
    def ignorable(self) -> bool:
        """Whether a comment can silence it: only what still leaves a usable Plan."""
        if self.code[0] not in "XTEA" or self.code in ("X291", "X292", "E405", "E406", "E408"):
            return False
        return self.severity is not Severity.ERROR or self.code in ("X208", "X213", "X218", "X296")


_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

_CATALOGUE = (
    Rule(
        "F001",
        "file-missing",
        _ERROR,
        "a file that the engine needs is missing or not readable",
        "A configuration is a folder with routes.yaml and providers.yaml, keys.yaml where callers need keys, and server.yaml where they have accounts.",
    ),
    Rule(
        "F002",
        "not-utf8",
        _ERROR,
        "the file is not UTF-8 text",
        "Configuration is UTF-8, with or without a byte order mark. Save the file again in that encoding.",
    ),
    Rule(
        "F003",
        "file-too-large",
        _ERROR,
        "the file is larger than 1 MiB",
        "The limit keeps a damaged or malicious file from stopping the gateway.",
    ),
    Rule(
        "F004",
        "unfinished-file",
        _WARNING,
        "the last line of the file has no line end",
        "A file cut short by a full disk or an unfinished copy looks like this, and may still be valid.",
    ),
    Rule(
        "F005",
        "too-many-findings",
        _ERROR,
        "a file holds more findings than are reported at once",
        "After 200 findings in one file the rest waits for the next run, and so does everything that depends on that file.",
    ),
    Rule(
        "Y001",
        "syntax",
        _ERROR,
        "the text is not YAML",
        "The place is where reading stopped; the mistake is there or just before it.",
    ),
    Rule(
        "Y002",
        "duplicate-key",
        _ERROR,
        "a key is written twice in one mapping",
        "Most readers keep the last one silently. Here nothing is dropped: remove or rename one.",
    ),
    Rule(
        "Y003",
        "unsupported-feature",
        _ERROR,
        "anchors, aliases, merge keys and tags are not supported",
        "They make the place of a setting ambiguous. `defaults` covers most of what they are used for.",
    ),
    Rule(
        "Y004",
        "ambiguous-scalar",
        _WARNING,
        "an unquoted value means different things to YAML 1.1 and 1.2",
        "`yes`, `010` or `1:30` are a boolean or another number to older readers. Quotes settle it.",
    ),
    Rule(
        "Y005",
        "key-not-a-string",
        _ERROR,
        "a key is not a string",
        "Numbers, booleans, lists and empty keys are not names. Quote the key.",
    ),
    Rule(
        "Y006",
        "too-deep",
        _ERROR,
        "the document is too deep or too long",
        "At most 32 levels and 200,000 entries are read.",
    ),
    Rule(
        "Y007",
        "empty-file",
        _ERROR,
        "the file holds no document",
        "An empty file configures nothing; it needs at least `version: 1`.",
    ),
    Rule(
        "Y008",
        "many-documents",
        _ERROR,
        "the file holds more than one document",
        "A `---` in the middle starts a second document, which would be ignored.",
    ),
    Rule(
        "Y009",
        "typographic-quotes",
        _WARNING,
        "a value begins with a curly quote, which is not a quote in YAML",
        "Chat programs and word processors turn straight quotes into curly ones. YAML keeps those as part of the value, so a name in them matches nothing.",
    ),
    Rule(
        "Y010",
        "lone-quote",
        _WARNING,
        "a value ends with a quote that it does not begin with",
        "YAML keeps it as part of the value, so it would be sent to a provider in a key or URL. Quote the whole value if it is intended.",
    ),
    Rule(
        "S101",
        "missing-key",
        _ERROR,
        "a required key is missing",
        "The entry cannot work without it. The message names the key.",
    ),
    Rule(
        "S102",
        "unknown-key",
        _ERROR,
        "a key that is not known here",
        "Unknown keys are never ignored: a typo would otherwise switch a setting off silently.",
    ),
    Rule(
        "S103",
        "wrong-type",
        _ERROR,
        "a value of the wrong type",
        "The message says which type is expected. A number that should be text needs quotes.",
    ),
    Rule(
        "S104",
        "bad-value",
        _ERROR,
        "a value of the right type that is not allowed",
        "The message says what is expected. Values themselves are never printed: they may be secrets.",
    ),
    Rule(
        "S105",
        "bad-name",
        _ERROR,
        "a name that is not allowed",
        "Names of endpoints, providers, credentials and variables are lower case letters, digits and `_`.",
    ),
    Rule(
        "X201",
        "unknown-provider",
        _ERROR,
        "a rule names a provider that providers.yaml does not define",
        "Requests for the models of the rule would have no provider.",
    ),
    Rule(
        "X202",
        "unknown-endpoint",
        _ERROR,
        "an endpoint is named that routes.yaml does not define",
        "Providers, model rules and keys refer to endpoints by the names under `endpoints:`.",
    ),
    Rule(
        "X203",
        "duplicate-route",
        _ERROR,
        "two endpoints share a path and a method",
        "Only one of them could ever be reached.",
    ),
    Rule(
        "X204",
        "tied-rules",
        _ERROR,
        "two model rules are equally specific",
        "The most specific rule wins and order never matters, so two rules cannot match the same models in the same endpoints.",
    ),
    Rule(
        "X205",
        "unused-provider",
        _WARNING,
        "no model rule leads to a provider",
        "The provider can never be reached. Add a rule for its models or remove it.",
    ),
    Rule(
        "X206",
        "endpoint-without-provider",
        _WARNING,
        "no provider serves an endpoint",
        "Every request to it would be refused.",
    ),
    Rule(
        "X207",
        "dead-rule",
        _WARNING,
        "a model rule can never serve a request",
        "Its provider serves none of the endpoints that the rule applies to.",
    ),
    Rule(
        "X208",
        "exposed-and-refused",
        _ERROR,
        "a path is both an endpoint and not exposed",
        "The endpoint would win, and no caller would see the reason.",
    ),
    Rule(
        "X209",
        "failing-test",
        _ERROR,
        "an entry of `tests:` fails",
        "The routing that these files describe is not the one that the test expects.",
    ),
    Rule(
        "X210",
        "unknown-credential",
        _ERROR,
        "a caller credential names a credential the provider does not have",
        "`caller_credentials` maps what a caller sends to a name under `credentials:`.",
    ),
    Rule(
        "X211",
        "bad-key-entry",
        _ERROR,
        "an entry of keys.yaml cannot be used",
        "Names and digests must be unique, and an expiry must be a real date.",
    ),
    Rule(
        "X212",
        "expired-key",
        _WARNING,
        "a key in keys.yaml has expired",
        "Its holder is refused with `expired_api_key`. Remove the entry or renew it.",
    ),
    Rule(
        "X213",
        "insecure-url",
        _ERROR,
        "a provider is called without TLS over the network",
        "Its key would be sent unencrypted. Plain http is accepted only for loopback, private addresses and names inside one network: without a dot, or under .local, .internal, .svc or .localhost.",
    ),
    Rule(
        "X214",
        "bad-url",
        _ERROR,
        "a URL that the gateway cannot connect to",
        "A base URL is a scheme, a host and a path, without user, query or fragment.",
    ),
    Rule(
        "X216",
        "default-model-renamed",
        _ERROR,
        "`default_model` is sent upstream under another name",
        "A body without `model` is sent unchanged, so the rule for the default model must not rename it.",
    ),
    Rule(
        "X217",
        "contradicting-timeouts",
        _WARNING,
        "a timeout that another one makes pointless",
        "`total` ends the exchange first, so a longer `first_byte` or `idle` has no effect.",
    ),
    Rule(
        "X218",
        "literal-secret",
        _ERROR,
        "a secret is written in a configuration file",
        "A file is copied, shown and kept in history. Take the value from the environment or from a separate file.",
    ),
    Rule(
        "X219",
        "rule-never-wins",
        _WARNING,
        "a model rule loses to more specific ones for every endpoint of its provider",
        "A rule that names an endpoint beats one that does not. When such rules cover every endpoint that this rule's provider serves, this rule never wins.",
    ),
    Rule(
        "X220",
        "alias-of-alias",
        _WARNING,
        "an alias is sent upstream under a name that is itself only an alias here",
        "`as` is the name that the provider gets; it is not looked up again. Name the provider's own model.",
    ),
    Rule(
        "X221",
        "alias-cycle",
        _WARNING,
        "aliases form a circle",
        "`as` is not looked up again, so a chain of aliases does not lead to another alias.",
    ),
    Rule(
        "X223",
        "doubled-path",
        _WARNING,
        "a URL repeats the end of `base_url`",
        "An endpoint's path is added to `base_url`, so a part that both have occurs twice in the URL.",
    ),
    Rule(
        "X230",
        "unknown-variable",
        _ERROR,
        "an account or a caller's variable has a name that the provider does not define",
        "The name must be defined under `variables` of the same provider.",
    ),
    Rule(
        "X231",
        "variable-without-choices",
        _ERROR,
        "a caller may choose the value of a variable that has no `choices`",
        "A caller chooses only among the values under `choices`, so that it can never name a host.",
    ),
    Rule(
        "X232",
        "signer-cannot-serve",
        _ERROR,
        "a provider's signer cannot work as configured",
        "Its credentials have fixed names; AWS signatures cover the whole body, so forms cannot be signed; and a caller never names a local file.",
    ),
    Rule(
        "X233",
        "model-not-listed",
        _WARNING,
        "no rule routes a listed model of a provider to it",
        "Only names that callers can use are listed. Add a rule for the model or a prefix for the provider.",
    ),
    Rule(
        "X234",
        "authority-without-tls",
        _WARNING,
        "a provider names CA certificates and is never called with TLS",
        "`tls` sets the trusted CA certificates. Over plain http there are none to check: write https, or leave `tls` out.",
    ),
    Rule(
        "X235",
        "proxy-without-httpx",
        _ERROR,
        "a provider names a proxy that its client does not use",
        "Requests would bypass the proxy. Only the client `httpx` supports one: write `client: httpx`, or leave `proxy` out.",
    ),
    Rule(
        "X240",
        "forwards-what-stays-behind",
        _WARNING,
        "an entry of `forward_headers` covers headers that are never forwarded",
        "Keys, cookies, framing, caller credentials, and headers about who forwarded a request are removed, whatever matches them. Name the headers that the provider needs.",
    ),
    Rule(
        "X241",
        "repeated-target",
        _WARNING,
        "a model rule has the same target twice",
        "A target that failed would be tried again as if it were another one, past `retry` of its provider. Two targets are the same when provider, model sent and `weight` are. Remove one: to try a provider again, give it `retry: {attempts: 2}`; to send it more requests, raise its `weight`.",
    ),
    Rule(
        "X250",
        "misspelt-origin",
        _ERROR,
        "an origin of `cors` is not written as browsers send it",
        "It is compared byte for byte: scheme, host and port in lower case, without the usual port, a path or a slash at the end. Written otherwise it allows no page.",
    ),
    Rule(
        "X251",
        "wildcard-origin",
        _ERROR,
        "an origin of `cors` holds `*`",
        "There are no patterns: a host of somebody else below your domain could call as well. Name every host, or allow every page with `*` alone.",
    ),
    Rule(
        "X252",
        "null-origin",
        _ERROR,
        "an origin of `cors` is `null`",
        "Browsers send it for files, for frames in a sandbox and after some redirects, so any page can have this origin. Serve the page from a host, such as http://localhost:3000, and name that.",
    ),
    Rule(
        "X253",
        "idle-origin",
        _WARNING,
        "an origin of `cors` changes nothing",
        "It is listed twice, or beside `*`, which already allows every page.",
    ),
    Rule(
        "X254",
        "every-origin",
        _WARNING,
        "`cors` allows every page",
        "Any page that is open in a browser may call the gateway from there and read its responses. It still needs a gateway key, but it uses the network of that browser: a gateway inside a company's network can be reached by every page that its people open. With `--no-auth`, `*` allows none.",
    ),
    Rule(
        "X245",
        "changed-model",
        _ERROR,
        "`body:` sets another model",
        "The record, `engine route` and the limits of keys would refer to a model that is not called. Name it in the model rule that leads there: `as: NAME` in routes.yaml. A rule may not rename or drop the model either.",
    ),
    Rule(
        "X246",
        "two-spellings",
        _ERROR,
        "a body field is named in two spellings",
        "Some readers of JSON match names in any case, so a body must have a field once, in one spelling: with `user` and `User` both named, callers who send one of them are refused. A field that is renamed to itself is refused as well.",
    ),
    Rule(
        "X260",
        "overlapping-patterns",
        _ERROR,
        "two paths with `{model}` match the same path",
        "The files do not say which of them a request means. Change a segment before or after `{model}`.",
    ),
    Rule(
        "X261",
        "path-below-pattern",
        _ERROR,
        "a path is one that a path with `{model}`, or the list of models, matches as well",
        "A model of that name could not be requested there, or the endpoint could not be reached.",
    ),
    Rule(
        "X265",
        "guessable-key",
        _ERROR,
        "a digest in keys.yaml is that of an empty key, or of a word that is easy to guess",
        "Anybody who tries the word gets access. `engine keys new` makes a key of 256 random bits; for a server of your own on loopback there is `engine serve --no-auth`.",
    ),
    Rule(
        "X270",
        "unused-credential",
        _WARNING,
        "a credential is declared and sent nowhere",
        "Calls are sent without a key, and the provider refuses them. Put it into a header as `{{ credentials.NAME }}`.",
    ),
    Rule(
        "X271",
        "unexpanded-name",
        _WARNING,
        "what is sent holds `$NAME`, `{ name }`, `<your-key>` or a typo beside a credential",
        "Only `{{ … }}` is replaced. Everything else is sent to the provider as written: the `$` of `${{ … }}`, a scheme without a space, the name of a header.",
    ),
    Rule(
        "X272",
        "doubtful-secret",
        _WARNING,
        "a secret or a part of a URL from the environment is probably not what the provider issued",
        "Quotes, spaces, `Bearer ` in front, the path of a file or a placeholder: the provider gets it as it is, and refuses it.",
    ),
    Rule(
        "X273",
        "invisible-in-name",
        _WARNING,
        "the name of a model has an invisible character",
        "A special space, a zero-width character or a decomposed letter comes from copying. Requests with the name people see do not match it.",
    ),
    Rule(
        "X274",
        "lookalike-in-name",
        _WARNING,
        "the name of a model has a letter or dash that looks like another one",
        "A Cyrillic or Greek letter, a wide one or a typographic dash is another character than the one on the keyboard.",
    ),
    Rule(
        "X275",
        "foreign-file",
        _ERROR,
        "a file is the configuration of another program",
        "LiteLLM, Portkey, Kubernetes, nginx and others have their own formats. Write the content of such a file as routes.yaml and providers.yaml.",
    ),
    Rule(
        "X276",
        "inside-a-form",
        _ERROR,
        "a change below the top level, or a condition on a field, of a body that may be a form",
        "A form has fields at one level only, and none that is JSON, so the change could not be made and the condition never be met. Narrow the rule to endpoints that take JSON with `endpoint:`.",
    ),
    Rule(
        "X277",
        "nothing-to-drop",
        _WARNING,
        "`drop_unknown` or `takes` that removes nothing",
        "`drop_unknown` of a model rule removes the fields of a JSON body that the provider's endpoint does not list under `takes`. Without such a list nothing is known to be too much; forms keep all parts.",
    ),
    Rule(
        "X278",
        "fallback-to-nothing",
        _WARNING,
        "`fallback_on` that does nothing",
        "It says when the next target of the rule gets the request. None comes after the target that is always last, and none gets a request whose `total` has passed before `first_byte`.",
    ),
    Rule(
        "X279",
        "tied-conditions",
        _ERROR,
        "two rules whose conditions a request may meet both, of which none is more specific",
        "Among rules with the same pattern and endpoints, the one that asks for all that another asks for, and for more, wins. All others must differ in a value of something that both ask for, or there must be a rule with the conditions of both.",
    ),
    Rule(
        "X280",
        "too-many-combinations",
        _ERROR,
        "the lists of a rule's conditions have more than 1000 combinations of values",
        "Every combination is an entry of a table, in which requests are looked up.",
    ),
    Rule(
        "X281",
        "extends-unknown",
        _ERROR,
        "a provider extends one that providers.yaml does not define",
        "`extends` takes over the entry of another provider of the same file.",
    ),
    Rule(
        "X282",
        "extends-itself",
        _ERROR,
        "providers that extend each other in a circle",
        "One of them has to be written out: it has the values that the others take over.",
    ),
    Rule(
        "X283",
        "extends-nothing-new",
        _WARNING,
        "a value that a provider would take over as it is, or a `drop` of what is not there",
        "An entry that extends another has only what differs, so that a change of that one reaches all of them. `engine show` prints the whole entry, with the line of each value.",
    ),
    Rule(
        "X284",
        "inherited-secret",
        _WARNING,
        "a provider takes over a credential and sends it to another company's host",
        "A provider that extends another takes over its credentials too. One with a `base_url` of its own at another domain has to name the credentials that are sent there.",
    ),
    Rule(
        "X291",
        "bad-suppression",
        _WARNING,
        "a suppression that is not allowed or not well formed",
        "It is `# engine: ignore[CODE] reason`, on the line of the finding or alone above it. An error that leaves nothing to serve cannot be suppressed.",
    ),
    Rule(
        "X292",
        "unused-suppression",
        _WARNING,
        "a suppression of something that is not found there",
        "It would hide the next such finding. It is reported only when there are no errors, since errors may hide findings.",
    ),
    Rule(
        "X293",
        "admin-without-tls",
        _ERROR,
        "the dashboard would be reached over a network without TLS",
        "Sessions, passwords and new keys would cross it in the clear. Listen on a loopback address, or let a reverse proxy add TLS and give its https origin as `public_url`.",
    ),
    Rule(
        "X294",
        "limit-cannot-work",
        _ERROR,
        "a limit of a key cannot work as it is written",
        "A budget needs a time zone that exists, and there is one budget of tokens and one in US dollars of each period. A budget in US dollars needs prices.yaml, or an `unpriced` charge.",
    ),
    Rule(
        "X296",
        "price-cannot-be-right",
        _ERROR,
        "a price cannot be right as it is written",
        "The unit is in the name of the key. No model costs less than a thousandth of a dollar for a million tokens, so a smaller number is the price of one token, and every cost would be a millionth of what it is. Prices are kept in billionths of a dollar.",
    ),
    Rule(
        "X297",
        "price-not-used",
        _NOTE,
        "a price that no request can have",
        "Prices are found by the provider and by the name of the model that it gets, after `as` and `strip`. A price that no model rule leads to is often a typo in one of these names.",
    ),
    Rule(
        "X298",
        "model-without-price",
        _NOTE,
        "models of which no price is known",
        "Their requests have no cost: `cost_usd` is null, and they are counted as requests without a price. A model that is free has `usd_per_request: 0`.",
    ),
    Rule(
        "T301",
        "template-syntax",
        _ERROR,
        "a template that cannot be read",
        "Templates are Jinja2 expressions such as `{{ credentials.api_key }}`.",
    ),
    Rule(
        "T302",
        "template-unknown-name",
        _ERROR,
        "a template uses a name that does not exist",
        "Templates can use the credentials and variables of their provider, model, endpoint and request.headers.",
    ),
    Rule(
        "T303",
        "template-unknown-filter",
        _ERROR,
        "a template uses a filter that does not exist",
        "The filters are lower, upper, trim, default, b64encode, segment, segments and encoded.",
    ),
    Rule(
        "T304",
        "template-too-clever",
        _ERROR,
        "a template does more than insert values",
        "Statements, calls and arithmetic are refused: a template inserts names, with filters.",
    ),
    Rule(
        "T305",
        "template-output",
        _ERROR,
        "a template renders to text that a header or URL cannot hold",
        "The result must be visible ASCII of at most 8 KiB: no line breaks, no control characters.",
    ),
    Rule(
        "T306",
        "template-unsafe-path",
        _ERROR,
        "the model is in a URL path without `segment`",
        "`{{ model | segment }}` keeps a model name from reaching another path; `segments` keeps its slashes as separators, `encoded` writes them as %2F.",
    ),
    Rule(
        "T307",
        "host-from-caller",
        _ERROR,
        "a host depends on something that a caller can choose",
        "The scheme, host and port of a URL come from `variables` alone: a request must never choose where a secret is sent.",
    ),
    Rule(
        "E401",
        "variable-not-set",
        _NOTE,
        "an environment variable that a provider needs is not set",
        "The gateway runs, and calls to the provider return `provider_key_missing` until it is set.",
    ),
    Rule(
        "E402",
        "credential-file",
        _WARNING,
        "a credential file cannot be read",
        "The gateway runs, and calls to the provider return `provider_key_missing` until it is there.",
    ),
    Rule(
        "E403",
        "unusable-value",
        _WARNING,
        "a credential or variable holds characters that no header or URL can hold",
        "Usually a line break at its end. Calls to the provider return `provider_key_missing` until it is fixed. A header of OTEL_EXPORTER_OTLP_HEADERS is left out.",
    ),
    Rule(
        "E404",
        "signer-not-installed",
        _NOTE,
        "a package that a signer, tracing or server.yaml needs is not installed",
        "Signers, accounts and tracing are extras of this package. Until that of a signer is installed, callers get provider_key_missing; with server.yaml or `tracing`, `engine serve` does not start.",
    ),
    Rule(
        "E405",
        "required-secret-missing",
        _WARNING,
        "a secret that is `required`, or a secret or file that server.yaml names, is missing",
        "`engine serve` does not start without it, so that a deployment without its secret fails at start and not at the first request.",
    ),
    Rule(
        "E406",
        "authority-file",
        _WARNING,
        "a file of CA certificates that a provider names cannot be used",
        "It must hold certificates in PEM; its path is relative to this folder. `engine serve` does not start without it, and a reload is refused, since no other certificates may be trusted for the provider.",
    ),
    Rule(
        "E407",
        "authority-expired",
        _WARNING,
        "all CA certificates of a provider have expired",
        "The gateway runs, and calls to the provider return `upstream_tls_failed` until the file is renewed.",
    ),
    Rule(
        "E408",
        "server-secret-unusable",
        _WARNING,
        "a secret or file that server.yaml names cannot be used",
        "A vault key is 32 random bytes as 64 hex digits or base64, and no other entry has it; a database is a URL; a TLS key has no passphrase and is that of the certificate. `engine serve` does not start without them, so that no provider key is ever stored under a key that can be guessed.",
    ),
    Rule(
        "A501",
        "key-without-expiry",
        _NOTE,
        "a gateway key never expires",
        "A key that leaks and is not noticed works for ever. With `expires` its holder has to renew it.",
    ),
    Rule(
        "A502",
        "key-for-everything",
        _NOTE,
        "a gateway key may use every endpoint and every model",
        "Name the `endpoints` or `models` that its holder needs: a stolen key can then do less.",
    ),
    Rule(
        "A503",
        "no-tests",
        _NOTE,
        "routes.yaml has no `tests:`",
        "A test names an endpoint, a model and the expected result. An edit that sends a model elsewhere then fails `engine check`.",
    ),
    Rule(
        "A504",
        "plain-http-inside",
        _NOTE,
        "a provider inside the network is called without TLS",
        "Bodies and the provider's key can be read in transit.",
    ),
    Rule(
        "A505",
        "catch-all-rule",
        _NOTE,
        "a model rule takes every model",
        "A mistyped model is sent, and perhaps billed, instead of being refused with a 404 that names the nearest rules.",
    ),
    Rule(
        "A506",
        "paid-twice",
        _NOTE,
        "`fallback_on` may pay for a request twice",
        "A provider that did not respond in time, closed the connection or failed may have processed the request, and bill it. Without `fallback_on` such a request is not sent again.",
    ),
)

RULES = {rule.code: rule for rule in _CATALOGUE}

# Codes that were once given or reserved, and are never used again.
RETIRED = frozenset({"X215"})
