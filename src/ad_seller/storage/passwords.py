"""A password that is told, or asked for at each new connection, because it changes."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

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
