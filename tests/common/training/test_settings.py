"""What the annotations of a Config say: bounds, differences from the paper, readings of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Tuple, Union

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MultipleOf
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import Annotated

from common.errors import InputError
from common.training import settings
from common.training.settings import Assumed, Given


@dataclass(frozen=True)
class Config:
    encoder: Annotated[Literal["plain", "resnet50"], Given("section 2")] = "plain"
    protocol: Literal["published", "corrected"] = "published"
    profile: Literal["paper", "quick", "smoke"] = "paper"
    seed: Annotated[int, Ge(0)] = 0
    encoder_weights: Annotated[
        str,
        Given("section 3", only=(("encoder", ("resnet50",)),)),
        Assumed("a plain network has none", ("none",)),
    ] = "imagenet"
    validation_fraction: Annotated[float, Interval(gt=0, lt=1), Given("section 4")] = 0.2
    test_fraction: Annotated[float, Interval(gt=0, lt=1), Given("section 4")] = 0.1
    warmup_epochs: Annotated[int, Ge(0), Assumed("not mentioned", (5,))] = 0
    epochs: Annotated[int, Gt(0), Given("section 5")] = 20
    input_size: Annotated[int, Gt(0), MultipleOf(32), Assumed("not stated")] = 256
    dropout: Annotated[float, Ge(0), Lt(1), Assumed("not stated")] = 0.5
    min_score: Annotated[float, Interval(ge=0, le=1), Assumed("not stated")] = 0.7
    steps: Annotated[Union[int, Literal["one pass"]], Gt(0), Assumed("not given")] = "one pass"
    flip: Annotated[bool, Assumed("not mentioned", (True,))] = False
    grid: Annotated[Tuple[int, int], Gt(0), Assumed("not given", ((4, 4),))] = (8, 8)
    jitter: Annotated[Tuple[float, float], Interval(ge=0, le=1), Assumed("no numbers")] = (0.2, 0.1)
    loss: Annotated[Literal["bce", "dice"], Assumed("none is named", ("dice",))] = "bce"


DEFAULT = Config()
ASSUMED = (
    "encoder_weights, warmup_epochs, input_size, dropout, min_score, steps, flip, grid, jitter, "
    "loss"
)


# Bounds


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"warmup_epochs": 0},
        {"dropout": 0},
        {"dropout": 0.999},
        {"min_score": 0},
        {"min_score": 1},
        {"steps": 1},
        {"grid": (1, 64)},
        {"jitter": (0, 1)},
        {"input_size": 32},
        {"validation_fraction": 0.5, "test_fraction": 0.499},
    ],
    ids=str,
)
def test_a_value_within_its_bounds_is_taken(changes):
    settings.check(replace(DEFAULT, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_epochs": -1}, "--warmup-epochs -1: expected a number from 0"),
        ({"epochs": 0}, "--epochs 0: expected a number above 0"),
        ({"seed": -1}, "--seed -1: expected a number from 0"),
        ({"test_fraction": 0.0}, "--test-fraction 0.0: expected a number above 0 and below 1"),
        ({"test_fraction": 1.5}, "--test-fraction 1.5: expected a number above 0 and below 1"),
        ({"dropout": 1.0}, "--dropout 1.0: expected a number from 0 and below 1"),
        ({"min_score": 1.1}, "--min-score 1.1: expected a number from 0 and up to 1"),
        ({"input_size": 50}, "--input-size 50: expected a number above 0 and divisible by 32"),
        ({"input_size": -32}, "--input-size -32: expected a number above 0 and divisible by 32"),
        ({"steps": 0}, "--steps 0: expected a number above 0"),
        ({"grid": (8, 0)}, "--grid 8 0: expected a number above 0"),
        ({"jitter": (0.2, 1.5)}, "--jitter 0.2 1.5: expected a number from 0 and up to 1"),
        ({"dropout": float("nan")}, "--dropout nan: expected a finite number"),
        ({"epochs": float("inf")}, "--epochs inf: expected a finite number"),
        ({"dropout": 1e39}, "--dropout 1e+39: expected a finite number"),
        ({"jitter": (0.2, float("nan"))}, "--jitter 0.2 nan: expected a finite number"),
        (
            {"validation_fraction": 0.6, "test_fraction": 0.4},
            "--validation-fraction 0.6 --test-fraction 0.4: expected fractions that leave images "
            "for training, so less than 1 together",
        ),
    ],
    ids=str,
)
def test_a_value_outside_is_named_with_all_its_bounds(changes, message):
    with pytest.raises(InputError) as caught:
        settings.check(replace(DEFAULT, **changes))
    assert str(caught.value) == message


@dataclass(frozen=True)
class Bounded:
    number: Annotated[float, Interval(gt=-2), Le(3), Given("a")] = 0


@given(st.floats(-5, 5))
def test_bounds_agree_with_arithmetic(number):
    try:
        settings.check(Bounded(number))
    except InputError:
        assert not -2 < number <= 3
    else:
        assert -2 < number <= 3


# Differences


def test_only_a_given_setting_makes_a_difference():
    assert settings.differences(DEFAULT, DEFAULT) == []
    other = replace(
        DEFAULT, protocol="corrected", profile="quick", seed=3, loss="dice", warmup_epochs=5
    )
    assert settings.differences(other, DEFAULT) == []
    assert settings.differences(replace(other, epochs=5, test_fraction=0.3), DEFAULT) == [
        "test fraction 0.3; the paper gives 0.1 (section 4)",
        "epochs 5; the paper gives 20 (section 5)",
    ]


def test_a_setting_may_be_given_for_one_network_and_assumed_for_another():
    plain = replace(DEFAULT, encoder_weights="none")
    assert settings.differences(plain, DEFAULT) == []
    assert settings.reading(plain, DEFAULT) == "encoder_weights=none"
    resnet = replace(DEFAULT, encoder="resnet50")
    changed = replace(resnet, encoder_weights="none")
    assert settings.differences(changed, resnet) == [
        "encoder weights none; the paper gives imagenet (section 3)"
    ]
    assert settings.reading(changed, resnet) == ""


# Readings


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"loss": "dice"}, "loss=dice"),
        ({"loss": "dice", "grid": (4, 16)}, "grid=4x16,loss=dice"),
        ({"flip": True, "steps": 7, "dropout": 0.25}, "dropout=0.25,flip=True,steps=7"),
        ({"warmup_epochs": 5, "jitter": (0.1, 1e-05)}, "jitter=0.1x1e-05,warmup_epochs=5"),
        ({"encoder_weights": "none"}, "encoder_weights=none"),
    ],
)
def test_a_reading_is_named_and_read_back(changes, text):
    config = replace(DEFAULT, **changes)
    assert settings.reading(config, DEFAULT) == text
    assert settings.parse_reading(text, Config) == changes
    assert replace(DEFAULT, **settings.parse_reading(text, Config)) == config


def test_the_order_of_a_reading_is_free_and_a_setting_can_be_put_back():
    assert settings.parse_reading("loss=dice,flip=True", Config) == settings.parse_reading(
        "flip=True,loss=dice", Config
    )
    back = settings.parse_reading("steps=one pass,flip=False", Config)
    assert settings.reading(replace(DEFAULT, **back), DEFAULT) == ""


def test_given_settings_and_identity_are_no_reading():
    other = replace(DEFAULT, seed=1, profile="smoke", protocol="corrected", epochs=2)
    assert settings.reading(other, DEFAULT) == ""


def test_a_file_of_weights_is_named_without_its_place():
    config = replace(DEFAULT, encoder_weights="/somewhere/w.h5")
    assert settings.reading(config, DEFAULT) == "encoder_weights=w.h5"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lost=dice", "'lost=dice'"),
        ("epochs=3", "'epochs=3'"),  # given by the paper
        ("seed=3", "'seed=3'"),
        ("loss", "'loss'"),
        ("loss=dice,loss=bce", "'loss=bce'"),
        ("loss=dice;flip=True", "loss=dice;flip=True: expected bce, dice"),
        ("loss=focal", "loss=focal: expected bce, dice"),
        ("flip=yes", "flip=yes: expected True or False"),
        ("warmup_epochs=many", "warmup_epochs=many: expected a whole number"),
        ("warmup_epochs=1.5", "warmup_epochs=1.5: expected a whole number"),
        ("steps=two passes", "steps=two passes: expected a whole number or one pass"),
        ("grid=4", "grid=4: expected 2 numbers joined by x"),
        ("grid=4x4x4", "grid=4x4x4: expected 2 numbers joined by x"),
        ("grid=4xa", "grid=4xa: expected 2 numbers joined by x"),
    ],
)
def test_an_unknown_reading_is_refused_in_one_line(text, words):
    with pytest.raises(InputError) as caught:
        settings.parse_reading(text, Config)
    message = str(caught.value)
    assert message.startswith("reading ") and words in message and "\n" not in message
    if "NAME=VALUE" in message:
        assert message.endswith(f"of the settings that the paper leaves open: {ASSUMED}")
