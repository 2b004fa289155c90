"""What is known of each transactional id, in memory and in a journal like that of the groups.

Called by `transactions.coordinator` and `broker`.
"""

from __future__ import annotations

import logging
from pathlib import Path

from nrtctl.local.broker.transactions.transaction import Transaction
from nrtctl.local.journal import Entry, Journal

logger = logging.getLogger(__name__)


class TransactionStore:
    """Raises OSError when the journal cannot be opened, and from every method that changes it."""

    def __init__(self, path: Path, *, always_sync: bool) -> None:
        self.found: dict[str, Transaction] = {}
        self.is_unsynced = False
        self._journal = Journal(path, always_sync=always_sync)
        for entry in self._journal.replay():
            self._apply(entry)
        self._compact()

    def _apply(self, entry: Entry) -> None:
        try:
            match entry:
                case ["transaction", list(snapshot)]:
                    transaction = Transaction.restore(snapshot)
                    self.found[transaction.transactional_id] = transaction
                case ["forget", str(transactional_id)]:
                    self.found.pop(transactional_id, None)
                case _:
                    raise ValueError("an unknown kind")
        except (ValueError, TypeError) as error:
            logger.warning("a journal entry of a transaction is left out: %s", error)

    def _compact(self) -> None:
        self._journal.compact(["transaction", each.snapshot()] for each in self.found.values())

    def save(self, transaction: Transaction) -> None:
        """Keep it in place of what was known of its id."""
        self._journal.append(["transaction", transaction.snapshot()])
        self.found[transaction.transactional_id] = transaction
        self._written()

    def forget(self, transactional_id: str) -> None:
        self._journal.append(["forget", transactional_id])
        del self.found[transactional_id]
        self._written()

    def _written(self) -> None:
        self.is_unsynced = True
        if self._journal.should_compact:
            try:
                self._compact()
            except OSError as error:
                logger.warning("the journal of transactions stays as long: %s", error.strerror)

    def duplicate(self) -> int:
        """A descriptor of the journal that the caller may sync, and closes."""
        return self._journal.duplicate()

    def close(self) -> None:
        self._journal.close()
