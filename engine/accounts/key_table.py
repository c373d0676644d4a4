"""Gateway keys in the memory of one worker, bounded; for its event loop alone.

Two dicts, the recent and the older keys: a key that is used moves to the recent ones; when these take half
of the bound, the older ones are dropped and the recent ones become the older ones. So keys in use stay, at
the cost of a look-up in a dict.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from engine.plan.plan import Account, Caller

KEY_BYTES = 650  # about what a key takes: its digest, a Caller, its name, and its place in a dict
NAME_BYTES = 110  # what a name of a model or an endpoint takes besides its characters
ACCOUNT_BYTES = 400
VALUE_BYTES = 250  # what a value of a provider takes besides its characters


class KeyTable:
    """Callers by the SHA-256 digest of their key, `max_bytes` in all."""

    def __init__(self, max_bytes: int) -> None:
        self.half = max_bytes // 2  # of what each generation takes
        self._young: dict[bytes, Caller] = {}
        self._old: dict[bytes, Caller] = {}
        self._used = 0  # by the young ones and their accounts
        self._accounts: dict[str, Account] = {}  # the newest state of those that have a key here

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, digest: bytes) -> Caller | None:
        """The holder of a key, with the newest state of its account."""
        caller = self._young.get(digest)
        if caller is None:
            caller = self._old.pop(digest, None)
            if caller is None:
                return None
            self._add(caller)
        account = caller.account
        if account is not None and self._accounts.get(account.id) is not account:
            return self._renewed(caller, account.id)
        return caller

    def put(self, callers: Iterable[Caller]) -> None:
        """Keep callers as the store has them now, in place of what is known of these keys."""
        for caller in callers:
            self._old.pop(caller.digest, None)
            self._add(caller)

    def put_known(self, digest: bytes, caller: Caller | None) -> None:
        """Keep what a key has become, None for one that is not valid any more, if it is known."""
        if self._young.pop(digest, None) or self._old.pop(digest, None):
            self.put(() if caller is None else (caller,))

    def put_account(self, account_id: str, account: Account | None) -> None:
        """Keep what an account has become, None for one whose keys are refused, if it has a key here."""
        if account_id not in self._accounts:
            return
        if account is None:
            del self._accounts[account_id]
        else:
            self._accounts[account_id] = account

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old, self._accounts, self._used = {}, {}, {}, 0

    def _renewed(self, caller: Caller, account_id: str) -> Caller | None:
        """The caller with what its account has become; None, and dropped, if its keys are refused."""
        account = self._accounts.get(account_id)
        if account is None:
            del self._young[caller.digest]
            return None
        renewed = self._young[caller.digest] = replace(caller, account=account)
        return renewed

    def _add(self, caller: Caller) -> None:
        account = caller.account
        if account is not None:
            known = self._accounts.get(account.id)
            if known is None or known.credentials != account.credentials:
                self._accounts[account.id] = account
                self._used += account_size(account)
            elif known is not account:
                caller = replace(caller, account=known)
        self._young[caller.digest] = caller
        self._used += key_size(caller)
        if self._used > self.half:
            self._age()

    def _age(self) -> None:
        """Drop the old generation, and the accounts that have no key any more."""
        self._old, self._young, self._used = self._young, {}, 0
        used = {caller.account.id for caller in self._old.values() if caller.account}
        self._accounts = {name: a for name, a in self._accounts.items() if name in used}


def key_size(caller: Caller) -> int:
    """About as many bytes as a key takes in memory, without its account."""
    names = [*(caller.models or ()), *caller.model_prefixes, *(caller.endpoints or ())]
    return KEY_BYTES + sum(NAME_BYTES + len(name) for name in names)


def account_size(account: Account) -> int:
    """About as many bytes as an account takes in memory."""
    return ACCOUNT_BYTES + sum(map(_size_of_values, account.credentials.values()))


def _size_of_values(values: Mapping[str, str]) -> int:
    return VALUE_BYTES + sum(VALUE_BYTES + len(name) + len(value) for name, value in values.items())
