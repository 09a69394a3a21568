"""The Configs of all papers, field by field: command line, differences and readings."""

import importlib
from dataclasses import replace
from typing import Literal, Union

import pytest
from typing_extensions import get_args, get_origin

import reproductions
from common import cli
from common.training import settings

PAPERS = reproductions.names()


def profiles_of(paper):
    return importlib.import_module(f"reproductions.{paper}.config").PROFILES


def alternatives(kind, value):
    """Other values of a field, by its type."""
    if get_origin(kind) is Literal:
        return [option for option in get_args(kind) if option != value]
    if get_origin(kind) is Union:
        found = []
        for member in get_args(kind):
            if get_origin(member) is Literal:
                found += alternatives(member, value)
            elif not isinstance(value, member):
                found.append(member(7))
        return found
    if kind is bool:
        return [not value]
    if kind is str:
        return [other for other in ("none", "imagenet") if other != value]
    if isinstance(value, tuple):
        return [tuple(number / 2 if isinstance(number, float) else 2 * number for number in value)]
    return [value / 2] if kind is float else [2 * value + 64 * (value == 0)]


def mixtures(profile):
    """Configs in which every field has another value, until each has had each of its own."""
    values = {
        name: alternatives(setting.type, getattr(profile, name))
        for name, setting in settings.describe(type(profile)).items()
        if name != "profile"
    }
    for number in range(max(map(len, values.values()))):
        chosen = {name: others[number % len(others)] for name, others in values.items()}
        yield replace(profile, **chosen)


def networks(paper):
    """The networks for which a paper may give a setting to one and not to another."""
    default = profiles_of(paper)["paper"]
    for name in ("encoder", "architecture"):
        setting = settings.describe(type(default)).get(name)
        if setting is not None:
            return [replace(default, **{name: value}) for value in get_args(setting.type)]
    return [default]


@pytest.mark.parametrize("paper", PAPERS)
def test_every_setting_is_given_or_assumed_with_its_reason(paper):
    for name, setting in settings.describe(type(profiles_of(paper)["paper"])).items():
        marked = setting.given is not None or setting.assumed is not None
        assert marked != (name in settings.IDENTITY), name
        for text in (getattr(setting.given, "where", None), getattr(setting.assumed, "why", None)):
            assert text is None or text.strip(), name


@pytest.mark.parametrize("paper", PAPERS)
def test_a_config_survives_the_command_line(paper, monkeypatch):
    profiles = profiles_of(paper)
    configs = [(config, profiles["quick"]) for config in mixtures(profiles["quick"])]
    configs += [(profile, profile) for profile in profiles.values()]
    configs += [(replace(profile, seed=3), profile) for profile in profiles.values()]
    for config, profile in configs:
        words = cli.training_words(config, profile)
        assert words[:2] == ["--profile", profile.profile]
        monkeypatch.setattr("sys.argv", ["train", *words])
        assert cli.parse_training(profiles, "train").config == config


@pytest.mark.parametrize("paper", PAPERS)
def test_a_difference_names_the_given_setting_and_no_other(paper):
    for network in networks(paper):
        for name, setting in settings.describe(type(network)).items():
            if name == "profile":
                continue
            for value in alternatives(setting.type, getattr(network, name)):
                found = settings.differences(replace(network, **{name: value}), network)
                given = setting.is_given(replace(network, **{name: value}))
                if name in settings.IDENTITY or not given:
                    assert found == [], name
                else:
                    (text,) = found
                    words = name.replace("_", " ")
                    assert text.startswith(f"{words} {value}; the paper gives "), text
                    assert text.endswith(f"({setting.given.where})")


@pytest.mark.parametrize("paper", PAPERS)
def test_a_changed_setting_is_a_difference_or_a_reading_that_can_be_asked_for(paper):
    for network in networks(paper):
        for name, setting in settings.describe(type(network)).items():
            if name in settings.IDENTITY:
                continue
            for value in alternatives(setting.type, getattr(network, name)):
                config = replace(network, **{name: value})
                text = settings.reading(config, network)
                assert bool(text) != bool(settings.differences(config, network)), name
                if text:
                    assert settings.parse_reading(text, type(config)) == {name: value}


@pytest.mark.parametrize("paper", PAPERS)
def test_the_readings_of_a_setting_can_be_trained_and_are_not_its_default(paper):
    default = profiles_of(paper)["paper"]
    for name, setting in settings.describe(type(default)).items():
        if setting.assumed is None:
            continue
        for value in setting.assumed.readings:
            assert value != getattr(default, name), name
            config = replace(default, **{name: value})
            settings.check(config)
            text = settings.reading(config, default)
            if not setting.is_given(config):
                assert settings.parse_reading(text, type(config)) == {name: value}
