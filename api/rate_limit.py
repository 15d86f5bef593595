"""A limit on the requests of each tenant. All processes of the API share it through Redis.

A tenant has a quota for a minute. It may use all of it at once, and gets it back evenly: of 600, ten each second. An
answer says what is left, in the fields of draft-ietf-httpapi-ratelimit-headers.
"""

import logging
import math
import time
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Closed
from redis.exceptions import RedisError

from api.refusals import TooManyRequests
from api.settings import Settings
from api.tenant import Tenant

log = logging.getLogger("maskworks.api")

WINDOW_SECONDS: Final = 60
POLICY: Final = '"requests"'
_CONNECTIONS: Final = 32
_REDIS_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 5.0
"""After an error of Redis requests go on without it for so long, so that a frozen Redis does not delay each of them."""

_TAKE: Final = """
local quota, step = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used = math.min(math.max((tonumber(redis.call('GET', KEYS[1])) or now) - now, 0), quota * step)
local fits = used + step <= quota * step
if fits then
  used = used + step
  redis.call('SET', KEYS[1], string.format('%.0f', now + used), 'PX', math.ceil(used / 1000))
end
local left = math.floor((quota * step - used) / step)
return {fits and 1 or 0, left, used - (quota - left - 1) * step}
"""
"""The key holds when the whole quota will be there again. All numbers are whole microseconds: `left` must not round."""


@dataclass(frozen=True)
class _Standing:
    fits: bool
    left: int
    wait: int
    """Seconds until there is more than `left`."""


class RateLimit:
    """Without Redis there is no limit. The log says so, once for each time that Redis is away."""

    def __init__(self, settings: Settings) -> None:
        self._quota = settings.requests_per_minute
        self._redis = None if settings.redis_url is None else _client(settings.redis_url.get_secret_value())
        self._take = None if self._redis is None else self._redis.register_script(_TAKE)
        self._away = False
        self._ask_again = 0.0

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def count(self, request: Request, tenant: Tenant) -> None:
        """Count a request of the tenant, and add what is left to its answer. Raises TooManyRequests."""
        if self._take is None:
            return
        quota = tenant.requests_per_minute or self._quota
        headers: dict[str, str] = request.scope["answer_headers"]
        headers["RateLimit-Policy"] = f"{POLICY};q={quota};w={WINDOW_SECONDS}"
        found = await self._standing(tenant, quota)
        if found is None:
            return
        headers["RateLimit"] = f"{POLICY};r={found.left};t={found.wait}"
        if not found.fits:
            said = f"{quota} requests a minute are allowed: try again in {found.wait} s"
            raise TooManyRequests(said, retry_after=found.wait)

    async def _standing(self, tenant: Tenant, quota: int) -> _Standing | None:
        """None while Redis is away."""
        if self._away and time.monotonic() < self._ask_again:
            return None
        self._ask_again = time.monotonic() + _PAUSE_SECONDS  # one request asks whether Redis is back, not all
        assert self._take is not None
        step = math.ceil(WINDOW_SECONDS * 1_000_000 / quota)
        try:
            fits, left, wait = await self._take(keys=[f"requests.{tenant.id}"], args=[quota, step])
        except (RedisError, OSError) as error:
            self._note_away(error)
            return None
        self._note_back()
        return _Standing(bool(fits), left, math.ceil(wait / 1_000_000))

    def _note_away(self, error: Exception) -> None:
        if not self._away:
            said = str(error) or type(error).__name__
            log.warning("Redis does not answer: the requests of tenants are not limited until it does (%s)", said)
        self._away = True

    def _note_back(self) -> None:
        if self._away:
            log.info("Redis answers again: the requests of tenants are limited")
        self._away = False


def _client(url: str) -> Redis:
    """A request waits for a connection instead of opening one more. Redis may have closed one that was idle."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=_REDIS_SECONDS,
        socket_timeout=_REDIS_SECONDS,
        socket_connect_timeout=_REDIS_SECONDS,
        retry=Retry(NoBackoff(), 1, supported_errors=(Closed,)),
    )
    return Redis.from_pool(pool)
