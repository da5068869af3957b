"""The doctor on compose files, recipes and settings: faults that are known from a public agent's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ad_seller.storage.operations import RULES, examine_settings, scan_texts
from ad_seller.storage.operations.doctor.findings import Finding
from tests.docs_samples import ROOT

COMPOSE = """
services:
  agent:
    build: .
    environment:
      STORAGE_TYPE: hybrid
      STORAGE_POOL: 5
      POSTGRES_POOL_MIM: 3
      DATABASE_URL: postgresql+asyncpg://agent@database:5432/agent
      DATABASE_PASSWORD: ${AGENT_PASSWORD}
      REDIS_URL: redis://cache:6379/0
      # REDIS_HOST: cache
      LOG_LEVEL: info
  database:
    image: postgres:16
    environment:
      POSTGRES_USER: agent
      POSTGRES_PASSWORD: s3cret
      POSTGRES_DB: agent
  cache:
    image: redis:7
    command: redis-server --maxmemory 64mb --maxmemory-policy volatile-ttl --requirepass s3cret
    ports: ["6379:6379"]
"""
DOCKERFILE = """FROM python:3.12-slim
ENV STORAGE_TYPE=postgres
RUN pip install --no-cache-dir ".[redis, csv]"
"""
TERRAFORM = """
    environment = [{
      name  = "STORAGE_BACKEND"
      value = "postgres"
    }, {
      name  = "DATABASE_URL"
      value = "postgresql://${var.user}@${var.host}:5432/agent"
    }]
    secrets = [{
      name      = "DB_PASSWORD"
      valueFrom = aws_secret.agent
    }]
"""
SCRIPT = """
REDIS_HOST=cache
export DATABASE_POOL_SIZE=20
export REDIS_URL="redis://:s3cret@${REDIS_HOST}:6379/0"
export DATABASE_URL="postgresql://agent:${DB_PASSWORD}@db/agent"
"""


def scanned(directory: Path, **files: str) -> set[tuple[str, str, int, str]]:
    for name, text in files.items():
        (directory / name.replace("_", ".")).write_text(text)
    paths = sorted(directory.iterdir())
    return set(scan_texts(paths, lambda path: path.name).places)


def test_a_compose_file_with_the_known_faults(tmp_path: Path) -> None:
    found = scanned(tmp_path, compose_yml=COMPOSE, Dockerfile=DOCKERFILE)
    assert found == {
        ("variable-unread", "compose.yml", 7, "STORAGE_POOL"),
        ("variable-unread", "compose.yml", 8, "POSTGRES_POOL_MIM (is POSTGRES_POOL_MIN meant?)"),
        ("url-without-password", "compose.yml", 9, "postgresql+asyncpg://***@database:5432/agent"),
        ("password-apart", "compose.yml", 10, "DATABASE_PASSWORD"),
        ("redis-without-password", "compose.yml", 11, "redis://cache:6379/0"),
        ("evicting-redis", "compose.yml", 22, "maxmemory-policy volatile-ttl"),
        ("driver-not-in-image", "Dockerfile", 3, "no asyncpg for STORAGE_TYPE=hybrid, postgres: [csv, redis]"),
    }
    assert {rule for rule, *_ in found} <= RULES.keys()
    assert "s3cret" not in str(found)


@pytest.mark.parametrize("install", ["'.[redis,postgres]'", "'.[all]'", "'.[redis]' asyncpg", "."])
def test_an_image_that_may_have_the_driver(tmp_path: Path, install: str) -> None:
    assert scanned(tmp_path, Dockerfile=f"ENV STORAGE_TYPE=hybrid\nRUN pip install {install}\n") == set()


def test_recipes_and_scripts(tmp_path: Path) -> None:
    found = scanned(tmp_path, main_tf=TERRAFORM, deploy_sh=SCRIPT)
    assert {(rule, file, text) for rule, file, _, text in found} == {
        ("setting-unread", "main.tf", "STORAGE_BACKEND=postgres"),
        ("url-without-password", "main.tf", "postgresql://***@${var.host}:5432/agent"),
        ("password-apart", "main.tf", "DB_PASSWORD"),
        ("variable-unread", "deploy.sh", "DATABASE_POOL_SIZE"),
    }


def test_several_instances_with_sqlite(tmp_path: Path) -> None:
    text = "environment:\n  STORAGE_TYPE: sqlite\ndeploy:\n  replicas: 3\n"
    assert scanned(tmp_path, compose_yml=text) == {("sqlite-several-machines", "compose.yml", 4, "replicas: 3")}
    assert scanned(tmp_path, compose_yml=text.replace("3", "1")) == set()
    assert scanned(tmp_path, compose_yml=text.replace("  STORAGE", "  # STORAGE")) == set()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("STORAGE_TYPE", "DATABASE_URL", "REDIS_URL", "WEB_CONCURRENCY", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def said(found: list[Finding]) -> set[tuple[str, str]]:
    return {(each.rule, each.what) for each in found}


def test_the_settings_of_a_process(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("storage_pool=3\nREDIS_URL=redis://h/0\n")
    settings.setenv("SQLITE_SYNCHRONOS", "NORMAL")
    settings.setenv("STORAGE_BACKEND", "redis")
    found, store = examine_settings()
    assert repr(store) == "SQLiteBackend('./ad_seller.db')"
    assert said(found) == {
        ("variable-unread", "Nobody reads STORAGE_POOL"),
        ("variable-unread", "Nobody reads SQLITE_SYNCHRONOS; is SQLITE_SYNCHRONOUS meant?"),
        ("setting-unread", "STORAGE_BACKEND=redis"),
        ("redis-url-unused", "REDIS_URL is set, and STORAGE_TYPE is sqlite"),
    }


@pytest.mark.parametrize(
    ("variables", "rules", "opens"),
    [
        ({"STORAGE_TYPE": "postgress"}, {"type-unknown", "configuration-refused"}, False),
        ({"STORAGE_TYPE": "memory", "WEB_CONCURRENCY": "4"}, {"memory-shared"}, True),
        ({"STORAGE_TYPE": "postgres", "DATABASE_URL": "postgresql://me@h/db"}, {"url-without-password"}, True),
        ({"STORAGE_TYPE": "postgres", "DATABASE_URL": "postgresql://me@h/db", "DB_PASSWORD": "x"}, set(), True),
        ({"STORAGE_TYPE": "postgres", "DATABASE_URL": "sqlite:///a.db"}, {"configuration-refused"}, False),
        ({"STORAGE_TYPE": "redis"}, {"configuration-refused"}, False),
        (
            {"STORAGE_TYPE": "redis", "REDIS_URL": "redis://:s3cret@h/x?nonsense=1"},
            {"configuration-refused"},
            False,
        ),
        ({"DATABASE_URL": "host=db password=s3cret"}, {"configuration-refused"}, False),
    ],
)
def test_settings_that_contradict_each_other(
    settings: pytest.MonkeyPatch, variables: dict[str, str], rules: set[str], opens: bool
) -> None:
    for name, text in variables.items():
        settings.setenv(name, text)
    found, store = examine_settings()
    assert {each.rule for each in found} == rules
    assert (store is not None) is opens
    assert "s3cret" not in str([each.as_dict() for each in found])


def test_the_page_explains_every_rule() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text()
    for name, rule in RULES.items():
        assert f"| `{name}` | {rule.severity} | {rule.why} | {rule.step} |\n" in page
