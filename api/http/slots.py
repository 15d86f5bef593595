"""A limit on answers of one kind that a tenant may have in progress in this process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.refusals import Problem
from api.tenant import Tenant


class Slots:
    """Counts the answers in progress of each tenant. `refusal` is raised for one too many."""

    def __init__(self, most: int, refusal: type[Problem]) -> None:
        self._most, self._refusal = most, refusal
        self._taken: Counter[str] = Counter()

    def take(self, tenant: Tenant) -> None:
        """Raises the refusal."""
        if self._taken[tenant.id] >= self._most:
            raise self._refusal(f"{self._most} are in progress: end one or try again later")
        self._taken[tenant.id] += 1

    @contextmanager
    def taken(self, tenant: Tenant) -> Iterator[None]:
        """A slot for as long as the block lasts. Raises the refusal."""
        self.take(tenant)
        try:
            yield
        finally:
            self.give_back(tenant)

    def give_back(self, tenant: Tenant) -> None:
        self._taken[tenant.id] -= 1
        if not self._taken[tenant.id]:
            del self._taken[tenant.id]
