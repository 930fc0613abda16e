"""Calibration data in every form that people pass: taken, or one line that says what came and what is expected."""

import itertools
import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from softdpu.quantizer import QuantizerError, calib_data, positions_report
from softdpu.quantizer.vitis_quantize import VitisQuantizer as Quantizer

L = keras.layers
X = np.random.default_rng(0).uniform(-1, 1, (12, 8, 6, 3)).astype(np.float32)
A = np.random.default_rng(1).uniform(-1, 1, (12, 5, 5, 2)).astype(np.float32)
B = np.random.default_rng(2).uniform(-1, 1, (12, 5, 5, 1)).astype(np.float32)
Y = np.arange(12)


def one():
    image = L.Input((8, 6, 3), name="image")
    return keras.Model(image, L.Dense(2)(L.Flatten()(L.Conv2D(4, 3, name="conv")(image))))


def two():
    a, b = L.Input((5, 5, 2), name="a"), L.Input((5, 5, 1), name="b")
    return keras.Model([a, b], L.Conv2D(4, 1)(L.Concatenate()([a, b])))


class Pieces(keras.utils.Sequence):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[index * 4 : index * 4 + 4], Y[index * 4 : index * 4 + 4]


class Loader:
    """Batches as lists of images and labels, like a DataLoader of PyTorch."""

    def __len__(self):
        return 3

    def __iter__(self):
        return ([X[at : at + 4], Y[at : at + 4]] for at in range(0, 12, 4))


def pieces(*more):
    return ((X[at : at + 4], *more) for at in range(0, 12, 4))


DATA = tf.data.Dataset
ONE = {
    "array": lambda: X,
    "doubles": lambda: X.astype(np.float64),
    "tensor": lambda: tf.constant(X),
    "images and labels": lambda: (X, Y),
    "images and images": lambda: (X, X[::-1]),
    "list of one array": lambda: [X],
    "dict": lambda: {"image": X},
    "dict with labels": lambda: {"pictures": X, "label": Y},
    "list of images": lambda: list(X),
    "tuple of images": lambda: tuple(X),
    "list of tensors": lambda: [tf.constant(x) for x in X],
    "nested lists": lambda: X.tolist(),
    "list of batches": lambda: [X[:4], X[4:8], X[8:]],
    "list of two batches": lambda: [X[:6], X[6:]],
    "list of pairs": lambda: list(zip(X, Y, strict=True)),
    "generator": lambda: (x for (x,) in pieces()),
    "generator with labels": lambda: pieces(Y[:4]),
    "generator of lists": lambda: ([x, y] for x, y in pieces(Y[:4])),
    "generator of images": lambda: iter(X),
    "generator function": lambda: lambda: pieces(),
    "function that gives an array": lambda: lambda: X,
    "Sequence": Pieces,
    "loader": Loader,
    "data set": lambda: DATA.from_tensor_slices(X).batch(4),
    "data set with labels": lambda: DATA.from_tensor_slices((X, Y)).batch(4),
    "data set of dicts": lambda: DATA.from_tensor_slices({"image": X, "label": Y}).batch(4),
    "data set without batches": lambda: DATA.from_tensor_slices(X),
    "data set of pairs without batches": lambda: DATA.from_tensor_slices((X, Y)),
    "data set of a generator": lambda: DATA.from_generator(pieces, output_signature=(tf.TensorSpec((None, 8, 6, 3)),)),
}
TWO = {
    "list": lambda: [A, B],
    "tuple": lambda: (A, B),
    "dict": lambda: {"b": B, "a": A},
    "with labels": lambda: ([A, B], Y),
    "lists of images": lambda: [list(A), list(B)],
    "pairs": lambda: list(zip(A, B, strict=True)),
    "data set": lambda: DATA.from_tensor_slices(((A, B), Y)).batch(4),
    "data set of pairs": lambda: DATA.from_tensor_slices((A, B)).batch(4),
    "data set of dicts": lambda: DATA.from_tensor_slices(({"a": A, "b": B}, Y)),
    "generator": lambda: ((A[at : at + 4], B[at : at + 4]) for at in range(0, 12, 4)),
}


def gathered(model, data, size=4, steps=None):
    found = list(calib_data.batches(model, data, size, steps))
    parts = [[np.asarray(array) for array in (batch if isinstance(batch, list) else [batch])] for batch in found]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


@pytest.mark.parametrize("form", ONE)
def test_forms_of_one_input(form):
    (found,) = gathered(one(), ONE[form]())
    assert np.array_equal(found, X)


@pytest.mark.parametrize("form", TWO)
def test_forms_of_two_inputs(form):
    found = gathered(two(), TWO[form]())
    assert all(np.array_equal(*pair) for pair in zip(found, (A, B), strict=True))


def test_forms_that_differ_in_nothing_but_the_form_give_the_same_positions():
    forms = ("array", "list of images", "nested lists", "generator function", "data set without batches", "loader")
    found = []
    for form in forms:
        keras.utils.set_random_seed(1)
        quantized = Quantizer(one()).quantize_model(calib_dataset=ONE[form](), calib_batch_size=4)
        found.append([list(tensors.values()) for tensors in positions_report(quantized).values()])
    assert all(positions == found[0] for positions in found)


def test_one_image_and_grey_images():
    assert np.array_equal(gathered(one(), X[0])[0], X[:1])
    grey = keras.Sequential([L.Input((5, 5, 1)), L.Conv2D(2, 3)])
    for data in (
        B,
        B[..., 0],
        list(B[..., 0]),
        DATA.from_tensor_slices(B[..., 0]),
        DATA.from_tensor_slices(B).batch(3),
    ):
        assert np.array_equal(gathered(grey, data)[0], B)


def test_steps_count_batches_whatever_they_come_in():
    for data in (X, list(X), iter(X), DATA.from_tensor_slices(X), DATA.from_tensor_slices(X).batch(4).repeat()):
        assert np.array_equal(gathered(one(), data, 4, 2)[0], X[:8])
    assert len(gathered(one(), itertools.repeat(X), 4, 3)[0]) == 36


def repeating():
    while True:
        yield X


def new_each_time():
    rng = np.random.default_rng(0)
    while True:
        yield rng.uniform(-1, 1, (2, 8, 6, 3)).astype(np.float32), Y[:2]


ENDLESS = {
    "data set": lambda: DATA.from_tensor_slices((X, Y)).batch(4).repeat(),
    "data set of images": lambda: DATA.from_tensor_slices(X).repeat(),
    "data set of a generator": lambda: DATA.from_generator(repeating, output_signature=tf.TensorSpec(X.shape)),
    "generator": repeating,
    "generator function": lambda: new_each_time,
    "iterator of one image": lambda: itertools.repeat(X[0]),
    "cycle": lambda: itertools.cycle(pieces(Y[:4])),
}


@pytest.mark.parametrize("form", ENDLESS)
def test_data_without_end(form, monkeypatch):
    if form != "generator function":  # one with the true number is enough
        monkeypatch.setattr(calib_data, "MOST", 20)
    for use in (
        lambda data: Quantizer(one()).quantize_model(calib_dataset=data),
        lambda data: Quantizer(one()).get_qat_model(init_quant=True, calib_dataset=data),
    ):
        with pytest.raises(
            QuantizerError, match=r"calib_dataset: .*end; say how many batches to take: calib_steps"
        ) as e:
            use(ENDLESS[form]())
        assert "\n" not in str(e.value)


def test_a_source_of_as_many_batches_as_are_taken_without_steps(monkeypatch):
    monkeypatch.setattr(calib_data, "MOST", 3)
    assert np.array_equal(gathered(one(), pieces())[0], X)
    monkeypatch.setattr(calib_data, "_AHEAD", 1)  # where little fits, they are given on as they come
    assert np.array_equal(gathered(one(), pieces())[0], X)
    monkeypatch.setattr(calib_data, "MOST", 2)
    batches = calib_data.batches(one(), pieces(), None, None)
    assert len([next(batches), next(batches)]) == 2
    with pytest.raises(QuantizerError, match="gave 2 batches"):
        next(batches)


WRONG = {
    "another size": (lambda: X[:, :7], "(12, 7, 6, 3) of float32"),
    "another order": (lambda: X.transpose(0, 3, 1, 2), "(12, 3, 8, 6) of float32"),
    "text": (lambda: "images/", "the text 'images/'"),
    "number": (lambda: 3, "a int"),
    "labels alone": (lambda: Y, "(12,) of int"),
    "names": (lambda: ["a.png", "b.png"], "a list of 2: the text 'a.png', the text 'b.png'"),
    "lists that differ": (lambda: [X[0], X[1, :5]], "a list of 2: (8, 6, 3) of float32, (5, 6, 3) of float32"),
    "dict": (lambda: {"a": A, "b": B}, "a dict of a: (12, 5, 5, 2) of float32, b: (12, 5, 5, 1) of float32"),
    "two that fit": (lambda: {"a": X, "b": X}, "a dict of a:"),
    "generator": (lambda: (x[:, :5] for (x,) in pieces()), "(4, 5, 6, 3) of float32 as item 0"),
    "data set": (lambda: DATA.from_tensor_slices(X[:, :, :4]).batch(4), "(4, 8, 4, 3) of float32 as item 0"),
    "strings": (lambda: DATA.from_tensor_slices(["a", "b"]), "() of string as item 0"),
}


@pytest.mark.parametrize("form", WRONG)
def test_data_that_do_not_fit(form):
    data, came = WRONG[form]
    text = re.escape("calib_dataset: expected images (N, 8, 6, 3) for the input image, got " + came)
    with pytest.raises(QuantizerError, match=text) as error:
        Quantizer(one()).quantize_model(calib_dataset=data())
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


def test_no_data():
    for data in ([], iter(()), X[:0], DATA.from_tensor_slices(X).batch(4).take(0)):
        with pytest.raises(QuantizerError, match="calib_dataset: expected at least one batch, got none"):
            Quantizer(one()).quantize_model(calib_dataset=data)


def test_several_inputs_that_do_not_fit():
    expected = re.escape("(N, 5, 5, 2) for the input a and (N, 5, 5, 1) for the input b, got ")
    for data in (A, [A], [A, A], {"a": A}, (A, Y), (x for x in A)):
        with pytest.raises(QuantizerError, match=expected):
            list(calib_data.batches(two(), data, None, None))
    with pytest.raises(QuantizerError, match=r"arrays of one length, got lengths \[11, 12\]"):
        list(calib_data.batches(two(), [A, B[1:]], None, None))


def test_sizes_that_may_vary():
    model = keras.Sequential([L.Input((None, None, 3)), L.Conv2D(2, 3)])
    assert [x.shape for x in calib_data.batches(model, [X[:2], X[:3, :5]], None, None)] == [(2, 8, 6, 3), (3, 5, 6, 3)]
    with pytest.raises(QuantizerError, match=r"images of different sizes cannot be one batch.*calib_batch_size=1"):
        list(calib_data.batches(model, [X[0], X[1, :5]], None, None))
    assert len(list(calib_data.batches(model, iter([X[0], X[1, :5]]), 1, None))) == 2


def test_function_that_needs_arguments():
    with pytest.raises(QuantizerError, match="calib_dataset: a function that cannot be called without arguments"):
        Quantizer(one()).quantize_model(calib_dataset=lambda size: X)


def test_progress_off_a_terminal(monkeypatch, capfd):
    from softdpu.quantizer import calibration

    Quantizer(one()).quantize_model(calib_dataset=X, calib_batch_size=4)
    assert "calibration" not in capfd.readouterr().err  # over at once
    monkeypatch.setattr(calibration, "_SECONDS_BETWEEN_LINES", 0.0)
    Quantizer(one()).quantize_model(calib_dataset=X, calib_batch_size=4)
    assert re.search(r"^calibration: 2 batches in \d+ s$", capfd.readouterr().err, re.MULTILINE)


@pytest.mark.parametrize(
    "shape",
    [
        "?,8,6,3",
        "(None, 8, 6, 3)",
        "1,8,6,3",
        "8,6,3",
        ["?,8,6,3"],
        {"image": "-1,8,6,3"},
        (8, 6, 3),
        ["?", "8", "6", "3"],
    ],
)
def test_input_shape_as_text(shape):
    model = keras.Sequential([L.Input((None, None, 3), name="image"), L.Conv2D(2, 3)])
    quantized = Quantizer(model).quantize_model(calib_dataset=X, input_shape=shape)
    assert quantized.input_shape[1:] == (8, 6, 3)


def test_input_shapes_of_two_inputs_as_text():
    quantized = Quantizer(two()).quantize_model(calib_dataset=(A, B), input_shape="1,5,5,2:1,5,5,1")
    assert quantized.input_shape == [(1, 5, 5, 2), (1, 5, 5, 1)]


@pytest.mark.parametrize("shape", ["?,8,x,3", "1,8,6,3,1", object()])
def test_input_shape_that_is_none(shape):
    with pytest.raises(QuantizerError, match="Invalid_Input_Shape"):
        Quantizer(one()).quantize_model(calib_dataset=X, input_shape=shape)


def test_strategy_as_second_argument():
    for arguments in (("8bit",), ("8bit_tqt",), ("pof2s", {"include_cle": False})):
        quantizer = Quantizer(one(), *arguments)
        assert quantizer._strategy.name == arguments[0].replace("8bit", "pof2s")
    assert not quantizer._strategy.options("optimize_pipeline_config")["include_cle"]


@pytest.mark.parametrize("option", ["calib_steps", "calib_batch_size"])
@pytest.mark.parametrize("value", [-1, "2", 1.5, float("nan"), [1]])
def test_counts_that_are_none(option, value):
    with pytest.raises(QuantizerError, match=f"{option}: expected a whole number of 1 or more, got") as error:
        Quantizer(one()).quantize_model(calib_dataset=X, **{option: value})
    assert "\n" not in str(error.value)


def test_counts_as_floats():
    Quantizer(one()).quantize_model(calib_dataset=X, calib_steps=np.ceil(1.5), calib_batch_size=2.0)
