"""A worker's side of calls in Redis: take them, answer them, and say that it lives. `intake.calls` names the keys.

Every method raises RedisError where Redis does not answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from intake.calls import HELD, LUA_NOW, call_key, queue_key, reply_key, taken_key, workers_key

_REPLY_MS: Final = 10_000
"""How long an answer waits to be fetched. The API waits for it already."""
_FORGET_MS: Final = 60_000

_TAKE: Final = """
local raw = redis.call('GET', KEYS[1])
if not raw then return false end
local left = redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'PX', math.max(left, 1))
return {raw, left}
"""
_ANSWER: Final = (
    LUA_NOW
    + """
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not held or tonumber(held) <= now then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
"""
)
_SIGN: Final = (
    LUA_NOW
    + """
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now, ARGV[1])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - ARGV[2])
  redis.call('PEXPIRE', key, ARGV[2])
end
"""
)


@dataclass(frozen=True)
class Taken:
    """A call that this worker has. `seconds` is how long its caller still waits."""

    name: str
    message: bytes
    seconds: float


class Inbox:
    """The calls for `models`. Thread-safe."""

    def __init__(self, redis_url: str, worker: str, models: Sequence[str]) -> None:
        self._redis: Redis = Redis.from_url(
            redis_url,
            socket_timeout=5,
            socket_connect_timeout=3,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._worker = worker
        self._queues = [queue_key(model) for model in models]
        self._workers = [workers_key(model) for model in models]
        self._take = self._redis.register_script(_TAKE)
        self._answer = self._redis.register_script(_ANSWER)
        self._sign = self._redis.register_script(_SIGN)

    def wait(self, seconds: float) -> tuple[str, str] | None:
        """The next call's queue and name, or None after `seconds`. It is nobody's until `take` or `give_back`."""
        found: Any = self._redis.brpop(self._queues, timeout=seconds)
        return None if found is None else (found[0].decode(), found[1].decode(errors="replace"))

    def take(self, name: str) -> Taken | None:
        """None where nobody waits for it any more."""
        found: Any = self._take(keys=[call_key(name), taken_key(name)], args=[self._worker])
        return None if found is None else Taken(name, found[0], max(0.0, found[1] / 1000))

    def give_back(self, queue: str, name: str) -> None:
        """To another worker, as the next one. It must not be taken yet."""
        self._redis.rpush(queue, name)

    def answer(self, name: str, message: bytes) -> bool:
        """False where nobody waits for it any more."""
        return bool(self._answer(keys=[HELD, reply_key(name)], args=[name, message, _REPLY_MS]))

    def sign(self) -> None:
        """A sign of life."""
        self._sign(keys=self._workers, args=[self._worker, _FORGET_MS])

    def sign_off(self) -> None:
        for key in self._workers:
            self._redis.zrem(key, self._worker)

    def forsaken(self, names: Collection[str]) -> set[str]:
        """Those of the calls whose callers have gone."""
        if not names:
            return set()
        asked = list(names)
        held: Any = self._redis.zmscore(HELD, asked)
        return {name for name, until in zip(asked, held, strict=True) if until is None}

    def close(self) -> None:
        self._redis.close()
