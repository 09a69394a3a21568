"""Weights in Matterport's layout: what each layer computes with them, by arithmetic."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from common.errors import InputError
from common.training import fit
from reproductions.brain_tumour_mask_rcnn import matterport
from reproductions.brain_tumour_mask_rcnn.config import PROFILES

THERE = {  # shapes that are not those here
    "rpn_class_raw": [(1, 1, 512, 6), (6,)],
    "mrcnn_class_conv1": [(7, 7, 256, 1024), (1024,)],
    "mrcnn_class_conv2": [(1, 1, 1024, 1024), (1024,)],
}
KINDS = {2: ("kernel", "bias"), 4: ("gamma", "beta", "moving_mean", "moving_variance")}


@pytest.fixture(scope="module")
def network():
    from reproductions.brain_tumour_mask_rcnn import model

    fit.start(0, deterministic_on_gpu=False)
    return model.build(replace(PROFILES["smoke"], encoder_weights="none")).network


@pytest.fixture
def arrays(network):
    """Random weights of all layers, by their names there."""
    rng = np.random.default_rng(0)
    found = {}
    for name, layer in matterport._pairs(network, outputs=True):
        shapes = THERE.get(name, [tuple(weight.shape) for weight in layer.weights])
        found[name] = [rng.uniform(0.1, 1, shape).astype(np.float32) for shape in shapes]
    return found


def write(path, arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            for kind, value in zip(KINDS[len(values)], values):
                # As in mask_rcnn_coco.h5: some layers lie within a model of their own.
                outer = "rpn_model" if name.startswith("rpn") else name
                file[f"{outer}/{name}/{kind}:0"] = value
    return path


@pytest.mark.slow
def test_layers_compute_what_they_compute_there(network, arrays, tmp_path):
    matterport.load_weights(network, write(tmp_path / "coco.h5", arrays), outputs=True)
    here = dict(matterport._pairs(network, outputs=True))
    rng = np.random.default_rng(1)

    patch = rng.normal(size=(7, 7, 3))  # RGB
    response = np.tensordot(patch, arrays["conv1"][0], 3)
    np.testing.assert_allclose(
        np.tensordot(patch[..., ::-1], here["conv1"].get_weights()[0], 3), response, rtol=1e-5
    )

    for name in ("bn_conv1", "bn5a_branch2c", "mrcnn_mask_bn3"):
        (gamma, beta, mean, variance), layer = arrays[name], here[name]
        x = rng.normal(size=len(gamma))
        ours = layer.get_weights()
        normalised = ours[0] * (x - ours[2]) / np.sqrt(ours[3] + layer.epsilon) + ours[1]
        np.testing.assert_allclose(
            normalised, gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta, rtol=1e-4
        )

    region = rng.normal(size=(7, 7, 256))
    dense = region.ravel() @ here["mrcnn_class_conv1"].get_weights()[0]
    np.testing.assert_allclose(
        dense, np.tensordot(region, arrays["mrcnn_class_conv1"][0], 3), rtol=1e-3, atol=1e-2
    )

    x = rng.normal(size=512)
    (kernel, bias), (own_kernel, own_bias) = (
        arrays["rpn_class_raw"],
        here["rpn_class_raw"].get_weights(),
    )
    logits = (x @ kernel[0, 0] + bias).reshape(3, 2)  # of background and object, for three anchors
    np.testing.assert_allclose(
        x @ own_kernel[0, 0] + own_bias, logits[:, 1] - logits[:, 0], rtol=1e-3, atol=1e-3
    )


@pytest.mark.slow
def test_proposals_lie_where_they_lie_there(network, arrays, tmp_path):
    matterport.load_weights(network, write(tmp_path / "coco.h5", arrays))
    stride, row, anchor_size = 8, 5, network.get_config()["anchor_size"]
    x = np.random.default_rng(2).normal(size=512)
    theirs, ours = (
        (x @ kernel[0, 0] + bias).reshape(3, 4)
        for kernel, bias in (
            arrays["rpn_bbox_pred"],
            dict(matterport._pairs(network, False))["rpn_bbox_pred"].get_weights(),
        )
    )
    for ratio, there, here in zip((0.5, 1, 2), theirs, ours):
        sides = np.array(
            [anchor_size * stride * ratio**-0.5, anchor_size * stride * ratio**0.5]
        )  # height, width
        centre = row * stride + there[:2] * 0.1 * sides
        np.testing.assert_allclose(
            (row + 0.5) * stride + here[:2] * sides, centre, rtol=1e-3, atol=1e-2
        )
        np.testing.assert_allclose(here[2:], 0.2 * there[2:], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_pyramid_ends_in_every_other_pixel_and_outputs_stay(network, arrays, tmp_path):
    scores = next(
        part for part in network.detection_head[0].submodules if part.name == "detection-scores"
    )
    before = scores.get_weights()
    matterport.load_weights(network, write(tmp_path / "coco.h5", arrays))
    np.testing.assert_array_equal(scores.get_weights()[0], before[0])
    rng = np.random.default_rng(3)
    features = {
        level: rng.normal(size=(1, *shape[1:])).astype(np.float32)
        for level, shape in network.backbone.output_specs.items()
    }
    pyramid = network.decoder(features)
    np.testing.assert_allclose(pyramid["6"], pyramid["5"][:, ::2, ::2], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "break_it, message",
    [
        (lambda arrays: arrays.pop("res4a_branch2b"), r"coco\.h5: .*res4a_branch2b is missing"),
        (
            lambda arrays: arrays.update(fpn_p3=[np.ones((1, 1, 256, 256)), np.ones(256)]),
            r"fpn_p3: expected the shapes",
        ),
    ],
)
def test_files_of_another_network_are_named(network, arrays, tmp_path, break_it, message):
    break_it(arrays)
    with pytest.raises(InputError, match=message):
        matterport.load_weights(network, write(tmp_path / "coco.h5", arrays))
