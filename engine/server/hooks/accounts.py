"""The accounts of one worker, as hooks of its gateways: keys, provider keys, usage.

Imported only with server.yaml, since the store needs more packages.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from engine.accounts.database import Database, open_database
from engine.accounts.errors import StoreUnavailableError
from engine.accounts.follower import KeyFollower
from engine.accounts.key_table import account_size
from engine.accounts.provider_keys import DamagedSecret
from engine.accounts.reader import StoreReader
from engine.accounts.usage_writer import UsageWriter
from engine.accounts.vault import Vault
from engine.gateway.errors import GatewayError
from engine.gateway.hooks import Hooks
from engine.gateway.outbound.account_keys import with_credentials
from engine.gateway.record import Record
from engine.plan.accounts import Accounts, ProviderKeyPolicy
from engine.plan.plan import Account, Caller, CredentialSet, Provider
from engine.upstream.cache import BoundedCache

MAX_BOUND_BYTES = 8 * 1024 * 1024  # of providers with the credentials of an account
BOUND_BYTES = 2500  # about what one takes besides these credentials
CLIENT_ERROR = 400
_NO_VALUES: Mapping[str, str] = MappingProxyType({})


class AccountHooks:
    """A KeySource, a CredentialSource and a Sink, on one store. `log` takes messages to the operator."""

    def __init__(
        self, settings: Accounts, log: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self._policy = settings.provider_keys
        self._log = log
        self._changed = changed
        self._database: Database = open_database(settings.database)
        vault, rpm = Vault(settings.vault_keys), settings.default_rate_limit_rpm
        reader = StoreReader(self._database, vault, rpm)
        self._follower = KeyFollower(reader, settings.key_cache, self._report, self._report_damage)
        self._usage = UsageWriter(self._database, self._report_lost)
        self._bound = BoundedCache[tuple[Account, str], tuple[Provider, CredentialSet]](
            MAX_BOUND_BYTES, MAX_BOUND_BYTES
        )
        self.known = self._follower.table.get
        self.status = "ok"

    def hooks(self) -> Hooks:
        """These hooks, for a Gateway."""
        return Hooks(keys=self, credentials=self, sinks=(self,))

    def start(self) -> None:
        """Begin to follow the store, with the running loop."""
        self._follower.start()

    def stop(self) -> None:
        """Write what was counted, and end the threads."""
        self._follower.stop()
        self._usage.stop()
        self._database.close()

    # -- the hooks ---------------------------------------------------------------------------------

    def is_current(self, caller: Caller) -> bool:
        """Whether the key is valid still and nothing of its account has changed."""
        return self.known(caller.digest) is caller

    async def search(self, digests: Sequence[bytes]) -> Mapping[bytes, Caller]:
        """The holders of these keys as the store has them now."""
        try:
            return await self._follower.search(digests)
        except StoreUnavailableError:
            message = "the API key is not known here, and the store of keys cannot be read now"
            raise GatewayError("accounts_unavailable", message) from None

    def find(self, caller: Caller, provider: Provider) -> CredentialSet | None:
        """The provider with the key of the caller's account; None for the operator's, by the policy."""
        account = caller.account
        if account is None or self._policy is ProviderKeyPolicy.OPERATOR:
            return None
        values = account.credentials.get(provider.name)
        if values is None:
            if self._policy is ProviderKeyPolicy.ACCOUNT_THEN_OPERATOR:
                return None
            values = _NO_VALUES
        kept = self._bound.get((account, provider.name))
        if kept is not None and kept[0] is provider:
            return kept[1]
        made = CredentialSet(None, None, (with_credentials(provider, values),), ())
        size = BOUND_BYTES + account_size(account)
        self._bound.put((account, provider.name), (provider, made), size)
        return made

    def write(self, records: Sequence[Record]) -> None:
        """Count requests of callers who are known."""
        for record in records:
            if record.key is not None:
                status = record.status
                is_error = status is None or status >= CLIENT_ERROR or record.outcome != "ok"
                group = record.key, record.model, record.provider, record.price_version or ""
                known = record.input_tokens, record.output_tokens, record.cost_nano_usd
                self._usage.add(group, is_error, record.ms_total or 0.0, *known)

    def _report_damage(self, damage: DamagedSecret) -> None:
        place = f"the key of account {damage.account_id} for provider `{damage.provider}`"
        self._log(f"{place} is not used, since it cannot be decrypted: {damage.reason}")

    # -- the operator ------------------------------------------------------------------------------

    def _report(self, problem: str | None) -> None:
        self.status = "ok" if problem is None else "unavailable"
        self._log(
            "the store of accounts can be read again"
            if problem is None
            else f"the store of accounts cannot be read, keys in use stay valid: {problem}"
        )
        self._changed()

    def _report_lost(self, requests: int) -> None:
        self._log(f"the usage of {requests} requests was lost: the store cannot be written")
