"""The path by which agents import `RedisBackend`."""

from .redis.backend import RedisBackend

__all__ = ["RedisBackend"]
