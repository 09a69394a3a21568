import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from common.errors import InputError
from common.training import encoders

IMAGES = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def packed():
    keras.utils.set_random_seed(1)
    return drawn(encoders.build("Linknet", "resnext50"))


def drawn(model):
    rng = np.random.default_rng(2)
    # Fresh BatchNorms (mean 0, variance 1) would hide a swapped pair of them.
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights(
                [rng.uniform(0.5, 1.5, weights.shape) for weights in layer.get_weights()]
            )
    return model


@pytest.fixture(scope="module")
def stock():
    return encoders.build("Linknet", "resnext50", fast=False)


def features(model):
    names = ("relu0", "stage1_unit3_relu", "stage2_unit1_relu1", "stage4_unit3_relu")
    outputs = [model.get_layer(name).output for name in names]
    return keras.Model(model.input, outputs)


def test_packed_resnext_loads_the_librarys_files_and_computes_the_same(packed, stock, tmp_path):
    bare = encoders.bare_encoder(
        "resnext50", weights=None, include_top=False, input_shape=(None, None, 3)
    )
    drawn(bare).save_weights(str(tmp_path / "encoder.h5"))
    for model in (stock, packed):
        encoders.load_encoder_weights(model, "resnext50", tmp_path / "encoder.h5")
    theirs = features(stock)
    for ours, other in zip(features(packed)(IMAGES), theirs(IMAGES)):
        scale = np.abs(other).max()
        assert scale > 0
        np.testing.assert_allclose(ours / scale, other / scale, atol=2e-6)
    again = encoders.build("Linknet", "resnext50", encoder_weights=str(tmp_path / "encoder.h5"))
    for ours, other in zip(features(again)(IMAGES), features(packed)(IMAGES)):
        np.testing.assert_array_equal(ours, other)


def test_packed_resnext_has_the_stock_models_parameters_in_a_fifth_of_the_layers(packed, stock):
    assert packed.count_params() == stock.count_params()
    assert len(packed.layers) * 5 < len(stock.layers)


def test_grouped_convolution_starts_and_learns_like_32_separate_ones():
    inputs = np.random.default_rng(3).normal(size=(2, 9, 9, 64)).astype(np.float32)
    layer = encoders.GroupedConv2D(96, (3, 3), strides=(2, 2))
    with tf.GradientTape() as tape:
        outputs = layer(inputs)
        loss = tf.reduce_sum(outputs**2)
    gradient = tape.gradient(loss, layer.kernel).numpy()
    for group in range(32):
        kernel = tf.Variable(layer.kernel[..., group * 3 : group * 3 + 3])
        with tf.GradientTape() as tape:
            part = tf.nn.conv2d(inputs[..., group * 2 : group * 2 + 2], kernel, 2, "VALID")
            loss = tf.reduce_sum(part**2)
        np.testing.assert_allclose(
            outputs[..., group * 3 : group * 3 + 3], part, rtol=1e-5, atol=1e-6
        )
        expected = tape.gradient(loss, kernel)
        np.testing.assert_allclose(
            gradient[..., group * 3 : group * 3 + 3], expected, rtol=1e-4, atol=1e-4
        )
    limit = np.sqrt(6 / (9 * (2 + 3)))  # Glorot's, for one group's 3×3 kernel from 2 to 3 channels
    assert 0.98 * limit < np.abs(layer.kernel).max() <= limit
    restored = encoders.GroupedConv2D.from_config(layer.get_config())
    assert restored.get_config() == layer.get_config()


def test_each_encoder_gets_its_own_input():
    image = np.array([[[10, 100, 200]]], np.uint8)
    np.testing.assert_array_equal(encoders.preprocessing("resnext50")(image), [[[10, 100, 200]]])
    caffe = [[[200 - 103.939, 100 - 116.779, 10 - 123.68]]]
    for encoder in ("vgg19", "vgg16"):
        np.testing.assert_allclose(encoders.preprocessing(encoder)(image), caffe, rtol=1e-6)
    assert image.tolist() == [[[10, 100, 200]]]  # the library works in place on what it is given


def test_weights_of_another_network_are_refused(tmp_path):
    options = {"weights": None, "include_top": False, "input_shape": (32, 32, 3)}
    encoders.bare_encoder("resnet18", **options).save_weights(str(tmp_path / "resnet.h5"))
    with pytest.raises(
        InputError, match=r"resnet\.h5: not the weights of vgg16: block1_conv1 needs"
    ):
        encoders.build("Linknet", "vgg16", encoder_weights=str(tmp_path / "resnet.h5"))


def test_surplus_layers_are_refused_but_a_classifier_is_not(tmp_path):
    model = encoders.build("Linknet", "vgg16")
    sixteen = encoders.bare_encoder(
        "vgg16", weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    top = keras.layers.Dense(4, name="fc1")(keras.layers.Flatten()(sixteen.output))
    keras.Model(sixteen.input, top).save_weights(str(tmp_path / "top.h5"))
    encoders.load_encoder_weights(model, "vgg16", tmp_path / "top.h5")
    np.testing.assert_array_equal(
        model.get_layer("block5_conv3").get_weights()[0],
        sixteen.get_layer("block5_conv3").get_weights()[0],
    )
    more = keras.layers.Conv2D(4, 1, name="block6_conv1")(sixteen.output)
    keras.Model(sixteen.input, more).save_weights(str(tmp_path / "more.h5"))
    with pytest.raises(InputError, match="block6_conv1 is left over"):
        encoders.load_encoder_weights(model, "vgg16", tmp_path / "more.h5")


@pytest.mark.parametrize("encoder", ["vgg16", "resnext50"])
def test_imagenet_without_network_names_the_file_and_the_remedy(encoder, monkeypatch):
    def offline(*args, **kwargs):
        raise Exception("URL fetch failure on https://example.org/weights.h5: None -- no route")

    monkeypatch.setattr(keras.utils, "get_file", offline)
    with pytest.raises(
        InputError, match=rf"{encoder}.*example\.org/weights\.h5.*ENCODER_WEIGHTS=none"
    ):
        encoders.build("Linknet", encoder, encoder_weights="imagenet")


def test_probabilities_are_float32_under_a_mixed_policy():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = encoders.build("Linknet", "vgg16")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    result = model(np.zeros((1, 32, 32, 3), np.float32))
    assert result.dtype == tf.float32
    assert model.get_layer("block1_conv1").compute_dtype == "bfloat16"


def test_without_one_dnn_the_stock_encoder_is_used(monkeypatch, capsys):
    def unsupported(*args, **kwargs):
        raise tf.errors.UnimplementedError(
            None, None, "Gradients for grouped convolutions are not supported on CPU"
        )

    encoders.grouped_convolution_trains.cache_clear()
    monkeypatch.setattr(tf.nn, "conv2d", unsupported)
    try:
        assert not encoders.grouped_convolution_trains()
    finally:
        encoders.grouped_convolution_trains.cache_clear()
    assert "slower ResNeXt" in capsys.readouterr().out
