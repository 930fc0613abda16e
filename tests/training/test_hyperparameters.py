from __future__ import annotations

import argparse

import pytest

from softdpu.commands import options
from softdpu.dataset.pipeline import Augmentation
from softdpu.training import hyperparameters


def parse(*command: str) -> hyperparameters.Hyperparameters:
    parser = argparse.ArgumentParser()
    options.add_hyperparameters(parser, hyperparameters.Hyperparameters())
    return options.read_hyperparameters(parser.parse_args(command))


def test_no_options_give_the_defaults() -> None:
    assert parse() == hyperparameters.Hyperparameters()


def test_options_set_every_number() -> None:
    numbers = {
        "epochs": 7, "batch-size": 9, "images": 100, "val-images": 50, "optimizer": "sgd", "learning-rate": 0.5,
        "schedule": "constant", "warmup-epochs": 1.5, "final-rate": 0.1, "label-smoothing": 0.2, "weight-decay": 0.3,
        "seed": 4, "threads": 3, "cache-mib": 5,
    }  # fmt: skip
    command = [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
    augmentation = ["--augment-crop", "--augment-flip", "--augment-brightness", "0.1"]
    got = parse(*command, *augmentation, "--lr-steps", "6:0.1", "11:0.01")
    expected = {name.replace("-", "_"): value for name, value in numbers.items()}
    assert got == hyperparameters.Hyperparameters(
        lr_steps=((6, 0.1), (11, 0.01)), augmentation=Augmentation(crop=True, flip=True, brightness=0.1), **expected
    )


@pytest.mark.parametrize("command", [["--epochs", "0"], ["--lr-steps", "6"], ["--schedule", "none"], ["--images", "x"]])
def test_wrong_options_are_refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        parse(*command)
    assert error.value.code == 2 and command[0] in capsys.readouterr().err


def test_the_tutorials_step_schedule() -> None:
    """0.01 up to epoch 5 counted from 0, a tenth up to 10, a hundredth up to 150, a thousandth after."""
    steps = hyperparameters.Hyperparameters(
        epochs=200, learning_rate=0.01, schedule="step", lr_steps=((6, 0.1), (11, 0.01), (151, 0.001))
    )
    for epoch in range(200):
        expected = 0.01 / (1000 if epoch > 150 else 100 if epoch > 10 else 10 if epoch > 5 else 1)
        assert steps.rate(epoch) == pytest.approx(expected)
        assert steps.rate(epoch + 0.99) == pytest.approx(expected)


def test_cosine_with_warmup() -> None:
    cosine = hyperparameters.Hyperparameters(epochs=10, learning_rate=0.4, warmup_epochs=2, final_rate=0.25)
    assert [cosine.rate(epoch) for epoch in (0, 1, 2, 6, 10)] == pytest.approx([0, 0.2, 0.4, 0.25, 0.1])
    rates = [cosine.rate(2 + i / 10) for i in range(80)]
    assert rates == sorted(rates, reverse=True)
    assert hyperparameters.Hyperparameters(schedule="constant", learning_rate=0.4).rate(2.5) == 0.4
