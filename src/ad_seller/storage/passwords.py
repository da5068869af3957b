"""A password that is told, in a URL too, or asked for at each new connection, because it changes."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from .errors import ConfigurationError, shown

Password = str | Callable[[], str | Awaitable[str]]


class PasswordFunctionError(Exception):
    """The function for the password has none."""


def check_password(password: object) -> None:
    """Check an argument.

    Raises:
        ConfigurationError: it is neither a text nor a function.
    """
    if password is not None and not isinstance(password, str) and not callable(password):
        raise ConfigurationError(f"password is a str or a function that returns one, not {shown(type(password))}")


async def asked(password: Password) -> str:
    """Return the password; a function is asked, and waited for if it is an async one.

    Raises:
        PasswordFunctionError: the function raised, or returned no text.
    """
    try:
        answer = password() if callable(password) else password
        text = await answer if inspect.isawaitable(answer) else answer
    except Exception as error:
        raise PasswordFunctionError(f"the function for the password raised {type(error).__name__}") from error
    if not isinstance(text, str) or not text:
        raise PasswordFunctionError(f"the function for the password returned {type(text).__name__}, no text")
    return text


def with_password(url: str, password: str | None) -> str:
    """Return the URL with a password as an option, unless it has one."""
    if password is None or has_password(url):
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'password': password})}"


def has_password(url: str) -> bool:
    """Tell whether a URL has a password, in its login or as an option."""
    _, _, rest = url.partition("://")
    login, at, _ = rest.rpartition("@")
    return bool(at and login.partition(":")[2]) or "password=" in rest.partition("?")[2]
