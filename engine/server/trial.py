"""The settings of a trial, which is a server with the built-in upstream: its own accounts, and free ports.

A port is bound as soon as it is chosen, because two trials may start at the same time.
"""

import secrets
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from engine.config.server import AccountsEntry, MetricsEntry
from engine.plan.accounts import (
    Accounts,
    AccountsSettings,
    Admin,
    ProviderKeyPolicy,
    parse_vault_key,
)
from engine.plan.settings import Metrics
from engine.server.ports import FOR_METRICS, claim_free_port, claim_port


def trial_accounts(stack: ExitStack, declared: AccountsEntry | None, port: int) -> AccountsSettings:
    """Accounts with a new vault key, and a dashboard on this host, until `stack` ends.

    If server.yaml has `accounts`, its `provider_keys` policy is used. The gateway will listen at `port`, and the
    dashboard at the next one if it is free.
    """
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="orqen-")))
    policy = ProviderKeyPolicy.ACCOUNT_THEN_OPERATOR if declared is None else declared.provider_keys
    key = parse_vault_key(secrets.token_hex(32))
    accounts = Accounts(f"sqlite:///{folder / 'orqen.db'}", (key,), policy)
    return AccountsSettings(accounts, Admin(port=_claimed(stack, port + 1)))


def trial_metrics(stack: ExitStack, declared: MetricsEntry | None, port: int) -> Metrics:
    """The listener of the metrics: that of server.yaml, or at a port of this host that is free.

    The gateway will listen at `port`, and has not taken it yet.

    Raises:
        ServeError: that of server.yaml is taken.
    """
    if declared is None:
        usual = Metrics().port
        return Metrics(port=_claimed(stack, usual + 1 if usual == port else usual))
    host = Metrics().host if declared.token else declared.host  # a trial ignores the token
    stack.enter_context(claim_port(host, declared.port, FOR_METRICS))
    return Metrics(host, declared.port, declared.otlp)


def _claimed(stack: ExitStack, usual: int) -> int:
    port, claim = claim_free_port(usual)
    stack.enter_context(claim)
    return port
