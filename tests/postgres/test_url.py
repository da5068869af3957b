"""Which addresses are taken, and that no refusal shows a password."""

from __future__ import annotations

from typing import Any

import pytest

from ad_seller.storage import ConfigurationError, get_storage_backend, open_url
from ad_seller.storage.postgres.url import parse_postgres_url
from ad_seller.storage.postgres_backend import PostgresBackend

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "read_as"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d"),
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"),
        ("POSTGRES://h/d", "postgresql://h/d"),
        ("postgresql://[::1]:5432/d", "postgresql://[::1]:5432/d"),
        ("postgresql:///d", "postgresql:///d"),
        ("postgresql://u@/d?host=/run/postgresql", "postgresql://u@/d?host=%2Frun%2Fpostgresql"),
        ("postgresql://h/d?ssl=require", "postgresql://h/d?sslmode=require"),
        ("postgresql://h/d?ssl=true", "postgresql://h/d?sslmode=require"),
        ("postgresql://h/d?sslmode=verify-full", "postgresql://h/d?sslmode=verify-full"),
        ("postgresql://h1:1,h2:2/d", "postgresql://h1:1,h2:2/d?target_session_attrs=read-write"),
        ("postgresql://h1,h2/d?target_session_attrs=any", "postgresql://h1,h2/d?target_session_attrs=any"),
        ("postgresql://u:p%40%2F@h/d", "postgresql://u:p%40%2F@h/d"),
        ("postgresql://h/d?keepalives=1&keepalives_idle=30&sslcompression=0", "postgresql://h/d"),
        ("postgresql://h/d?sslmode=require&channel_binding=require", "postgresql://h/d?sslmode=require"),
        ("postgresql://h/d?connect_timeout=10", "postgresql://h/d"),
        ("postgresql://h/d?schema=ads", "postgresql://h/d?search_path=ads"),
        ("postgresql://h/d?currentSchema=ads", "postgresql://h/d?search_path=ads"),
        ("postgresql://h/d?fallback_application_name=a", "postgresql://h/d?application_name=a"),
        ("postgresql://h/d?fallback_application_name=a&application_name=b", "postgresql://h/d?application_name=b"),
    ],
)
def test_every_form_is_read(url: str, read_as: str) -> None:
    assert parse_postgres_url(url) == read_as


WRONG: dict[str, object] = {
    "none": None,
    "empty": "",
    "int": 5,
    "sqlite": "sqlite:///./ad_seller.db",
    "mysql": f"mysql://u:{SECRET}@h/d",
    "long and wrong": f"mysql://u:{'x' * 70}{SECRET}@h/d",
    "no slashes": "postgresql:h/d",
    "path": "./ad_seller.db",
    "@ in the password": f"postgresql://u:a@{SECRET}@h/d",
    "/ in the password": f"postgresql://u:a/{SECRET}@h/d",
    "? in the password": f"postgresql://u:a?{SECRET}@h/d",
    "# in the password": f"postgresql://u:a#{SECRET}@h/d",
    "[ in the password": f"postgresql://u:a[{SECRET}@h/d",
    "port of letters": "postgresql://h:five/d",
    "port too large": "postgresql://h:65536/d",
    "empty host": "postgresql://h1,,h2/d",
    "options without values": "postgresql://h/d?sslmode",
    "option of libpq": f"postgresql://u:{SECRET}@h/d?load_balance_hosts=random",
    "option of a pool": f"postgresql://u:{SECRET}@h/d?pool_size=5",
}


@pytest.mark.parametrize("name", WRONG)
def test_anything_else_is_refused_without_the_password(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PostgresBackend(WRONG[name])  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    text = f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    assert SECRET not in text
    assert "x" * 10 not in text


def test_the_repr_shows_no_password() -> None:
    backend = PostgresBackend(f"postgresql://u:{SECRET}@h/d?password={SECRET}")
    assert repr(backend).endswith("***@h/d?password=***')")
    assert SECRET not in repr(backend)


@pytest.mark.parametrize(
    "settings",
    [
        {"pool_min": -1},
        {"pool_max": 0},
        {"pool_min": 3, "pool_max": 2},
        {"pool_max": True},
        {"pool_max": "4"},
        {"timeout": 0},
    ],
    ids=str,
)
def test_settings_that_cannot_work(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pool_min|pool_max|timeout"):
        PostgresBackend("postgresql://h/d", **settings)


class TestFactory:
    @pytest.fixture(autouse=True)
    def _no_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL", "POSTGRES_POOL_MIN", "POSTGRES_POOL_MAX"):
            monkeypatch.setenv(name, "")  # an empty variable counts as absent, and hides a .env file

    def test_by_type(self) -> None:
        backend = get_storage_backend("postgres", "postgresql://h/d")
        assert isinstance(backend, PostgresBackend)
        assert (backend._pool_min, backend._pool_max) == (2, 10)

    def test_by_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STORAGE_TYPE", "postgres")
        monkeypatch.setenv("DATABASE_URL", "postgresql+asyncpg://h/d")
        monkeypatch.setenv("POSTGRES_POOL_MIN", "1")
        monkeypatch.setenv("POSTGRES_POOL_MAX", "3")
        backend = get_storage_backend()
        assert isinstance(backend, PostgresBackend)
        assert (backend._pool_min, backend._pool_max) == (1, 3)

    @pytest.mark.parametrize("url", ["postgresql://h/d", "postgres://h/d", "postgresql+asyncpg://h/d"])
    def test_by_url(self, url: str) -> None:
        assert isinstance(open_url(url), PostgresBackend)

    def test_without_url(self) -> None:
        with pytest.raises(ValueError, match="PostgreSQL URL required for postgres storage"):
            get_storage_backend("postgres")

    def test_url_of_another_engine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "sqlite:///./ad_seller.db")
        with pytest.raises(ConfigurationError, match="PostgreSQL URL starts with"):
            get_storage_backend("postgres")

    def test_pool_size_of_letters(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POSTGRES_POOL_MAX", "many")
        with pytest.raises(ConfigurationError, match="POSTGRES_POOL_MAX is a whole number, not 'many'"):
            get_storage_backend("postgres", "postgresql://h/d")
