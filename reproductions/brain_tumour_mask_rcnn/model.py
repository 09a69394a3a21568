"""Mask R-CNN of TensorFlow's Model Garden in the layer shapes of Matterport's, around a ResNet of
Keras.

Model Garden is imported here and nowhere else in the suite: it takes some 15 seconds and is not
quiet. Import this module only where a network is needed.
"""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np
import tensorflow as tf
from keras.applications import resnet
from tensorflow import keras

from common.errors import InputError
from common.training import encoders, fit, runs, weights_files
from reproductions.brain_tumour_mask_rcnn import config as constants
from reproductions.brain_tumour_mask_rcnn import matterport, seeded_sampling
from reproductions.brain_tumour_mask_rcnn.config import Config
from reproductions.brain_tumour_mask_rcnn.detections import Detections

with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
    warnings.simplefilter("ignore")
    from official.vision.configs import maskrcnn as garden
    from official.vision.dataloaders.maskrcnn_input import Parser
    from official.vision.modeling import factory
    from official.vision.ops import mask_ops, preprocess_ops
    from official.vision.tasks.maskrcnn import MaskRCNNTask

DEVIATIONS = (
    0.229 * 255,
    0.224 * 255,
    0.225 * 255,
)  # by which Model Garden divides red, green and blue
BLOCKS = {"resnet101": (3, 4, 23, 3), "resnet14": (1, 1, 1, 1)}  # of the stages 2 to 5


class Trainable(keras.Model):
    """A Mask R-CNN as `fit` trains it: Model Garden's training step, whose losses are the
    metrics.
    """

    def __init__(self, network: keras.Model, task: MaskRCNNTask, seed: int):
        super().__init__(name="mask_rcnn")
        self.network, self.task, self.seed = network, task, seed
        self.losses_seen = task.build_metrics(training=True)

    @property
    def metrics(self):
        return self.losses_seen

    def train_step(self, data) -> Dict[str, tf.Tensor]:
        with seeded_sampling.seeded(self.seed, seeded_sampling.REGIONS, self.optimizer.iterations):
            self.task.train_step(data, self.network, self.optimizer, self.losses_seen)
        return {
            metric.name.replace("total_loss", "loss"): metric.result()
            for metric in self.losses_seen
        }


def build(config: Config, initialise: bool = True) -> Trainable:
    """Build and compile the network.

    Args:
        config: what is built, and which layers learn.
        initialise: load the initial weights that the configuration asks for; else all are random.

    Raises:
        InputError: the weights cannot be fetched, read, or belong to another network.
    """
    if config.encoder_weights == "coco":
        config = replace(config, weights_layout="matterport")
    settings = _settings(config)
    shape = (config.input_size, config.input_size, 3)
    decay = keras.regularizers.L2(config.weight_decay / 2)
    from_file = initialise and not config.from_scratch
    backbone = _backbone(
        config,
        shape,
        config.encoder_weights if from_file and config.weights_layout == "keras" else None,
    )
    network = factory.build_maskrcnn(
        keras.layers.InputSpec(shape=(None, *shape)), settings, decay, backbone=backbone
    )
    # Makes all weights without computing anything.
    network(
        keras.Input(shape, batch_size=1),
        image_shape=keras.Input((2,), batch_size=1),
        training=False,
    )
    # Model Garden scales the last kernel for masks by the number of classes. Two would make logits
    # of ten and more.
    last = next(layer for layer in network.mask_head.submodules if layer.name == "mask-logits")
    last.kernel.assign(keras.initializers.GlorotUniform()(last.kernel.shape))
    if from_file and config.weights_layout == "matterport":
        given = config.encoder_weights
        matterport.load_weights(network, weights_files.coco() if given == "coco" else Path(given))

    backbone.trainable = config.trains_backbone
    if config.trains_backbone:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.Conv2D):
                layer.add_loss(functools.partial(decay, layer.kernel))
    if not config.from_scratch:
        for layer in network.submodules:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    model = Trainable(network, MaskRCNNTask(garden.MaskRCNNTask(model=settings)), config.seed)
    model.built = True  # all its weights exist, so that they can be loaded
    model.compile(
        keras.optimizers.SGD(
            config.learning_rate, config.momentum, global_clipnorm=constants.CLIP_NORM
        )
    )
    return model


def size(config: Config) -> int:
    """Count the bytes of all weights of a configuration's network, as float32."""
    network = build(config, initialise=False).network
    return 4 * sum(int(np.prod(weight.shape)) for weight in network.weights)


def inputs(examples: tf.data.Dataset, config: Config, epoch: int) -> tf.data.Dataset:
    """Turn `data.examples` into batches of images, prepared, and the targets that Model Garden
    assigns to anchors.
    """
    settings = _settings(config)
    parser = Parser(
        [config.input_size, config.input_size],
        settings.min_level,
        settings.max_level,
        settings.anchor.num_scales,
        settings.anchor.aspect_ratios,
        settings.anchor.anchor_size,
        aug_rand_hflip=config.flip,
        include_mask=True,
    )
    parse = parser.parse_fn(is_training=True)

    def prepare(number: tf.Tensor, example: Dict[str, tf.Tensor]):
        with seeded_sampling.seeded(config.seed, seeded_sampling.ANCHORS, number):
            return parse(example)

    numbered = examples.enumerate(start=epoch * len(examples))
    parsed = numbered.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return parsed.batch(config.batch_size, drop_remainder=True).prefetch(2)


class Detector:
    """A network that finds tumours in images of any size."""

    def __init__(self, network: keras.Model, config: Config):
        self.network, self.config = network, config
        self._outputs = tf.function(
            self._detect, [tf.TensorSpec((None, None, 3), tf.uint8)], autograph=False
        )

    def __call__(self, image: np.ndarray, min_score: Optional[float] = None) -> Detections:
        """Find the tumours of an image, uint8 (H, W, 3), with a score of `min_score` (the
        configuration's) or more.

        Raises:
            InputError: the image is so long that scaling leaves it without pixels.
        """
        height, width = image.shape[:2]
        if 2 * self.config.input_size * min(height, width) <= max(height, width):
            raise InputError(
                f"an image of {width}x{height}, of which nothing is left in the "
                f"{self.config.input_size}x{self.config.input_size} that the network takes; cut it"
            )
        boxes, scores, masks = (output.numpy() for output in self._outputs(image))
        # Places that nothing was found for have the score 0; a box beyond the image's edge may be
        # empty.
        least = self.config.min_score if min_score is None else min_score
        found = (scores >= max(least, 1e-6)) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        boxes, scores, masks = boxes[found], scores[found], masks[found]
        corner_and_size = np.concatenate(
            [boxes[:, 1::-1], (boxes[:, 2:] - boxes[:, :2])[:, ::-1]], axis=1
        )
        pasted = mask_ops.paste_instance_masks(masks, corner_and_size, height, width).astype(bool)
        return Detections(boxes, scores, pasted.reshape(-1, height, width))

    def _detect(self, image: tf.Tensor):
        side = [self.config.input_size, self.config.input_size]
        prepared, info = preprocess_ops.resize_and_crop_image(
            preprocess_ops.normalize_image(image), side, side
        )
        outputs = self.network(prepared[None], image_shape=info[None, 1], training=False)
        names = ("detection_boxes", "detection_scores", "detection_masks")
        boxes, scores, masks = (tf.cast(outputs[name][0], tf.float32) for name in names)
        # Back to the pixels of the image, and not beyond its edge.
        boxes = tf.minimum(boxes / tf.tile(info[2], [2]), tf.tile(info[0], [2]))
        return boxes, scores, masks


def load(folder: Path) -> Detector:
    """Rebuild the network of a run folder with its trained weights.

    Raises:
        InputError: the folder holds no finished training of this paper.
    """
    try:
        config = runs.load_config(folder, Config)
        fit.start(config.seed, config.precision, deterministic_on_gpu=False)
        # The file is in an order that depends on which layers learn.
        model = build(config, initialise=False)
        weights_files.load(model, folder / "weights.h5", "name the folder of another run")
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{folder}: not a finished training of a brain tumour network ({reason})"
        ) from None
    return Detector(model.network, config)


def _settings(config: Config) -> garden.MaskRCNN:
    """Matterport's network and rules, as far as they can be said in Model Garden's terms."""
    side = config.input_size
    return garden.MaskRCNN(
        num_classes=constants.CLASSES,
        input_size=[side, side, 3],
        anchor=garden.Anchor(
            anchor_size=constants.ANCHOR * side / 4
        ),  # in pixels of the finest level, 4×4 each
        rpn_head=garden.RPNHead(num_filters=512),
        detection_head=garden.DetectionHead(num_convs=0, num_fcs=2, fc_dims=1024),
        roi_generator=garden.ROIGenerator(
            num_proposals=constants.PROPOSALS_TRAIN, test_num_proposals=constants.PROPOSALS_TEST
        ),
        roi_sampler=garden.ROISampler(
            num_sampled_rois=config.regions, foreground_fraction=constants.FOREGROUND
        ),
        mask_sampler=garden.MaskSampler(
            num_sampled_masks=int(config.regions * constants.FOREGROUND)
        ),
        detection_generator=garden.DetectionGenerator(
            pre_nms_score_threshold=constants.LOWEST_SCORE,
            nms_iou_threshold=constants.OVERLAP,
            max_num_detections=constants.MOST_DETECTIONS,
        ),
        norm_activation=garden.common.NormActivation(
            norm_momentum=0.99, norm_epsilon=1e-3, use_sync_bn=False
        ),
    )


def _backbone(config: Config, shape: Tuple[int, int, int], weights: Optional[str]) -> keras.Model:
    """A Keras ResNet without top, from images as Model Garden prepares them to its levels 2 to
    5.
    """
    if weights is not None and weights != "imagenet":
        _check_file(Path(weights), config.encoder)
    image = keras.Input(shape)
    # Model Garden's images are RGB over ImageNet's mean and deviation, Keras' weights expect BGR
    # over its mean alone.
    bgr = keras.layers.Lambda(
        lambda x: x[..., ::-1] * tf.constant(DEVIATIONS[::-1], x.dtype), name="bgr"
    )(image)
    blocks = BLOCKS[config.encoder]
    try:
        with encoders.names_the_download(config.encoder):
            if config.encoder == "resnet101":
                whole = keras.applications.ResNet101(
                    include_top=False, weights=weights, input_tensor=bgr
                )
            else:
                whole = _small_resnet(bgr, blocks, weights)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{weights}: not Keras weights of {config.encoder} without top ({reason})"
        ) from None
    if config.weights_layout == "matterport":
        matterport.pad_stem_at_end(whole)
    levels = {
        str(stage): whole.get_layer(f"conv{stage}_block{count}_out").output
        for stage, count in enumerate(blocks, 2)
    }
    backbone = keras.Model(image, levels, name=config.encoder)
    backbone.output_specs = {level: output.shape for level, output in levels.items()}
    return backbone


def _check_file(path: Path, encoder: str) -> None:
    """Look through a file before Keras loads it."""
    try:
        weights_files.check(path)
    except InputError as error:
        reason = str(error).partition(": ")[2]
        raise InputError(f"{path}: not Keras weights of {encoder} without top ({reason})") from None


def _small_resnet(image: tf.Tensor, blocks: Tuple[int, ...], weights: Optional[str]) -> keras.Model:
    """A ResNet of Keras' own parts, and names, with fewer blocks than those that it offers."""

    def stages(x: tf.Tensor) -> tf.Tensor:
        for stage, count in enumerate(blocks):
            x = resnet.stack1(
                x, 64 * 2**stage, count, stride1=2 if stage else 1, name=f"conv{stage + 2}"
            )
        return x

    return resnet.ResNet(
        stages, False, True, "resnet", include_top=False, weights=weights, input_tensor=image
    )
