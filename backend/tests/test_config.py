"""The settings: defaults, values, and one report for everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.config import TOP, Settings, SettingsError


def test_defaults_suit_development() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings(None, "127.0.0.1", 8080, "INFO", TOP / ".data")
    assert (TOP / "backend" / "src" / "config.py").is_file()


def test_an_empty_variable_counts_as_unset() -> None:
    names = ("DATABASE_URL", "PLANTOPS_HOST", "PLANTOPS_PORT", "PLANTOPS_LOG_LEVEL", "PLANTOPS_DATA")
    assert Settings.from_environment(dict.fromkeys(names, "")) == Settings.from_environment({})


def test_reads_every_variable(tmp_path: Path) -> None:
    environ = {
        "DATABASE_URL": "postgresql://user:word@host:5432/plantops",
        "PLANTOPS_HOST": "::1",
        "PLANTOPS_PORT": "65535",
        "PLANTOPS_LOG_LEVEL": "warning",
        "PLANTOPS_DATA": str(tmp_path),
    }
    settings = Settings.from_environment(environ)
    assert settings == Settings(environ["DATABASE_URL"], "::1", 65535, "WARNING", tmp_path)
    assert settings.url == "http://[::1]:65535"


def test_reads_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTOPS_PORT", "81")
    monkeypatch.setenv("PLANTOPS_HOST", "localhost")
    assert Settings.from_environment().url == "http://localhost:81"


def test_the_url_does_not_show() -> None:
    assert "secret" not in repr(Settings.from_environment({"DATABASE_URL": "postgresql://user:secret@host/db"}))


@pytest.mark.parametrize(
    "url",
    [
        "postgres:///plantops?host=/run/postgresql",
        "postgresql://u@/db",
        "postgresql://h:1/db",
        "postgresql://u:p@h:1,[::1]:65535,i/db?target_session_attrs=primary",
    ],
)
def test_accepts_the_urls_that_postgresql_knows(url: str) -> None:
    assert Settings.from_environment({"DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PLANTOPS_HOST", "http://localhost", "host name or IP address"),
        ("PLANTOPS_PORT", "0", "from 1 to 65535"),
        ("PLANTOPS_PORT", "65536", "from 1 to 65535"),
        ("PLANTOPS_PORT", "eighty", "from 1 to 65535"),
        ("PLANTOPS_PORT", "8080\n", "from 1 to 65535"),
        ("PLANTOPS_PORT", "9" * 5000, "from 1 to 65535"),
        ("PLANTOPS_LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("PLANTOPS_DATA", __file__, "must be a directory"),
    ],
)
def test_names_the_variable_its_value_and_what_is_allowed(name: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as failure:
        Settings.from_environment({name: value})
    text = str(failure.value)
    assert text.startswith(f"{name} is {value!r}.")
    assert allowed in text
    assert "Unset it" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:secret@host/db",
        "user:secret@host/db",
        "postgresql://user:secret#@host/db",
        "secret",
        "postgresql://u@h:0/d",
        "postgresql://u@h:1,h:65536/d",
        "postgresql://user:12#secret@host/db",
    ],
)
def test_never_shows_a_url(url: str) -> None:
    with pytest.raises(SettingsError, match="postgresql://user:password@host:5432/database") as failure:
        Settings.from_environment({"DATABASE_URL": url})
    assert "secret" not in str(failure.value)


def test_reports_all_problems_at_once() -> None:
    environ = {"DATABASE_URL": "x", "PLANTOPS_HOST": "a b", "PLANTOPS_PORT": "x", "PLANTOPS_LOG_LEVEL": "x"}
    with pytest.raises(SettingsError) as failure:
        Settings.from_environment(environ)
    assert [line.split()[0] for line in str(failure.value).splitlines()] == list(environ)
