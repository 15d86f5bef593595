"""The API's side of calls in Redis: put one in, wait for its answer, clean up. `intake.calls` names the keys.

It connects at the first call. A submit of a job needs no Redis.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError

from api.refusals import CallsTooLarge, CallTooSlow, ImageFailed, NoWorker, QueueUnavailable
from api.settings import Settings
from db.states import ItemReason
from intake.calls import (
    HELD,
    LUA_NOW,
    SEEN_MS,
    BadMessage,
    Call,
    Reply,
    call_key,
    message,
    new_name,
    queue_key,
    read_message,
    reply_key,
    taken_key,
    workers_key,
)

_LOOK_SECONDS: Final = 1.0
_FORGET_MS: Final = 3_600_000
_PUT: Final = (
    LUA_NOW
    + """
local held, queue, workers, call = unpack(KEYS)
local name, message, wait, most, seen, forget = unpack(ARGV)
if redis.call('ZCOUNT', workers, now - seen, '+inf') == 0 then return 'NO_WORKER' end
local bytes = 0
for _, one in ipairs(redis.call('ZRANGEBYSCORE', held, now, '+inf')) do bytes = bytes + string.match(one, '%d+$') end
if bytes + string.match(name, '%d+$') > tonumber(most) then return 'FULL' end
redis.call('SET', call, message, 'PX', wait)
redis.call('ZREMRANGEBYSCORE', held, '-inf', now)
redis.call('ZADD', held, now + wait, name)
redis.call('LPUSH', queue, name)
redis.call('PEXPIRE', held, forget)
redis.call('PEXPIRE', queue, forget)
return 'OK'
"""
)
"""The first command that writes is one that a full Redis refuses. It would not refuse the script at a later one."""
_LOOK: Final = (
    LUA_NOW
    + """
local reply, taken, queue, workers = unpack(KEYS)
local name, seen = unpack(ARGV)
if redis.call('EXISTS', reply) == 1 then return 'OK' end
local worker = redis.call('GET', taken)
if worker then
  local sign = redis.call('ZSCORE', workers, worker)
  if sign and tonumber(sign) > now - seen then return 'OK' end
  return 'LOST'
end
if redis.call('ZCOUNT', workers, now - seen, '+inf') == 0 then return 'NO_WORKER' end
if redis.call('LPOS', queue, name) then return 'OK' end
return 'POPPED'
"""
)
"""POPPED: a worker has the name and not yet the call, for a moment or because it died."""
_NO_WORKER: Final = "no live worker answers calls for {model!r}: start one, or try again"
_LOST: Final = "the worker that had the image died or stopped: try again"


class CallQueue:
    """Without a URL there is no Redis, and each call is refused."""

    def __init__(self, settings: Settings) -> None:
        url = settings.redis_url
        self._seconds, self._most = settings.call_seconds, settings.max_calls_bytes
        self._redis: Redis | None = None if url is None else _client(url.get_secret_value())
        if self._redis is not None:
            self._put = self._redis.register_script(_PUT)
            self._look = self._redis.register_script(_LOOK)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    async def answer(self, call: Call, octets: bytes, gone: Callable[[], Awaitable[bool]]) -> tuple[Reply, bytes]:
        """The worker's answer. `gone` says whether the client has left; then the image is dropped.

        Raises NoWorker, CallsTooLarge, CallTooSlow, ImageFailed, QueueUnavailable.
        """
        if self._redis is None:
            raise QueueUnavailable("this installation answers no calls for one image: MASKWORKS_REDIS_URL is not set")
        sent = message(call, octets)
        name = new_name(sent)
        until = time.monotonic() + self._seconds
        try:
            await self._submit(name, call, sent)
            async with self._cleaned(self._redis, name, call):
                raw = await self._reply(self._redis, name, call, until, gone)
        except (RedisError, OSError) as error:
            raise QueueUnavailable("the queue of calls does not answer: try again") from error
        return _read(raw)

    async def _submit(self, name: str, call: Call, sent: bytes) -> None:
        keys = [HELD, queue_key(call.model), workers_key(call.model), call_key(name)]
        wait = int(self._seconds * 1000)
        said = await self._put(keys=keys, args=[name, sent, wait, self._most, SEEN_MS, _FORGET_MS])
        if said == b"NO_WORKER":
            raise NoWorker(_NO_WORKER.format(model=call.model))
        if said == b"FULL":
            raise CallsTooLarge("other calls use all the memory for calls: try again later")

    async def _reply(
        self, redis: Redis, name: str, call: Call, until: float, gone: Callable[[], Awaitable[bool]]
    ) -> bytes:
        popped = 0
        while (left := until - time.monotonic()) > 0:
            found: Any = await redis.blpop([reply_key(name)], timeout=min(_LOOK_SECONDS, left))
            if found is not None:
                return bytes(found[1])
            keys = [reply_key(name), taken_key(name), queue_key(call.model), workers_key(call.model)]
            said = await self._look(keys=keys, args=[name, SEEN_MS])
            popped = popped + 1 if said == b"POPPED" else 0
            if said == b"NO_WORKER":
                raise NoWorker(_NO_WORKER.format(model=call.model))
            if said == b"LOST" or popped > 1:
                raise ImageFailed(ItemReason.WORKER_LOST, _LOST)
            if await gone():
                break
        raise CallTooSlow(f"no worker answered within {self._seconds:g} s (MASKWORKS_CALL_SECONDS): try again later")

    @asynccontextmanager
    async def _cleaned(self, redis: Redis, name: str, call: Call) -> AsyncIterator[None]:
        """Remove the call once nobody waits any more. Where Redis does not answer, it expires."""
        try:
            yield
        except (RedisError, OSError):
            raise
        except BaseException:
            await asyncio.shield(self._remove(redis, name, call))
            raise
        await asyncio.shield(self._remove(redis, name, call))

    async def _remove(self, redis: Redis, name: str, call: Call) -> None:
        pipe = redis.pipeline(transaction=False)
        pipe.zrem(HELD, name)
        pipe.lrem(queue_key(call.model), 1, name)
        pipe.delete(call_key(name), taken_key(name), reply_key(name))
        await pipe.execute()


def _client(url: str) -> Redis:
    # Redis may have closed a connection that was idle, so a command is sent again once. None of ours does harm twice.
    again = Retry(NoBackoff(), 1, supported_errors=(RedisAway,))
    return Redis.from_url(url, socket_timeout=4, socket_connect_timeout=2, socket_keepalive=True, retry=again)


def _read(raw: bytes) -> tuple[Reply, bytes]:
    try:
        reply, octets = read_message(Reply, raw)
    except BadMessage as error:
        raise ImageFailed(ItemReason.INTERNAL, f"the worker's answer cannot be read: {error}") from error
    if reply.failure is not None:
        raise ImageFailed(reply.failure.reason, reply.failure.detail)
    return reply, octets
