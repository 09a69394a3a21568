"""A trained network as ONNX, with how to prepare its input as JSON, and a model card."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import tyro

from common import files
from common.errors import InputError
from common.imaging.listing import shown
from common.prediction import finished_runs, masks, worth
from common.prediction.predictor import Member, Predictor
from common.prediction.worth import Worth

OPSET = 13
Load = Callable[[Sequence[Path]], Predictor]


@dataclass(frozen=True)
class Options:
    """Write a trained network as ONNX, with its preprocessing and a model card."""

    run: tyro.conf.Positional[Path]
    """Run folder of a finished training, runs/PAPER/…"""
    out: Path = Path("export")
    """Folder for RUN.onnx, RUN.json and RUN.md; made if need be."""


def parse(words: Optional[Sequence[str]] = None) -> Options:
    """Read the options from the command line.

    Raises:
        InputError: the run folder holds no finished training.
    """
    options = tyro.cli(Options, prog="medseg export", args=words)
    if not finished_runs.is_finished(options.run):
        raise InputError(f"{shown(options.run)}: not the folder of a finished training")
    return options


def paper_of(run: Path, papers: Sequence[str]) -> str:
    """The paper that a run folder belongs to: the name of the folder around it.

    Raises:
        InputError: that is no paper's.
    """
    name = run.resolve().parent.name
    if name not in papers:
        raise InputError(
            f"{shown(run)}: expected to lie in a folder named after its paper, one of "
            f"{', '.join(papers)}"
        )
    return name


def run(options: Options, load: Load) -> None:
    """Export the network of one run.

    Raises:
        InputError: ONNX has no counterpart of what it does.
    """
    predictor = load([options.run])
    member = predictor.members[0]
    preprocessing = predictor.preprocessing(member)
    if preprocessing is None:
        raise InputError(f"{predictor.title}: parts of it have no counterpart in ONNX")
    value = worth.of([options.run], predictor.paper, predictor.aggregate)
    path = options.out / f"{options.run.resolve().name}.onnx"
    write_onnx(member, path)
    about = describe(predictor, member, preprocessing, value)
    files.write_json(path.with_suffix(".json"), about)
    files.write_text(path.with_suffix(".md"), model_card(predictor, about, value))
    print(f"written: {path}, {path.with_suffix('.json').name}, {path.with_suffix('.md').name}")


def write_onnx(member: Member, path: Path) -> None:
    """Convert a network, its grouped convolutions as one Conv each, and write it atomically.

    Raises:
        InputError: a part of it cannot be converted.
    """
    import tensorflow as tf

    os.environ.setdefault("TF2ONNX_CATCH_ERRORS", "FALSE")
    model = member.network.model
    signature = [tf.TensorSpec(model.input_shape, tf.float32, name="images")]
    quiet = contextlib.redirect_stderr(io.StringIO())
    with warnings.catch_warnings(), quiet:
        warnings.simplefilter("ignore")
        import tf2onnx  # not at the top: nothing else needs it

        logging.getLogger("tf2onnx").setLevel(logging.ERROR)
        try:
            proto, _ = tf2onnx.convert.from_keras(_in_float32(model), signature, opset=OPSET)
        except Exception as error:  # of operations that it does not know
            reason = " ".join(str(error).split())
            raise InputError(f"{member.folder}: no ONNX of it ({reason:.200})") from None
    files.write_bytes(path, proto.SerializeToString())


def _in_float32(model: Any) -> Any:
    """A network of mixed precision with the same weights, which are float32, and without it: ONNX
    has no bfloat16 in most operations.
    """
    from tensorflow import keras

    text = model.to_json()
    if '"mixed_' not in text:
        return model
    layers = [one for one in model.submodules if isinstance(one, keras.layers.Layer)]
    kinds = {type(layer).__name__: type(layer) for layer in layers}
    plain = keras.models.model_from_json(re.sub(r'"mixed_b?float16"', '"float32"', text), kinds)
    plain.set_weights(model.get_weights())
    return plain


def describe(
    predictor: Predictor, member: Member, preprocessing: List[Dict[str, Any]], value: Worth
) -> Dict[str, Any]:
    """What a program needs that runs the network."""
    shape = member.network.model.input_shape
    return {
        "title": predictor.title,
        "paper": predictor.paper,
        "use": worth.USE,
        "warning": value.warning,
        "input": {
            "name": "images",
            "type": "float32",
            "layout": "batch, height, width, channels",
            "shape": list(shape),
            "multiple_of": 32,
        },
        "preprocessing": preprocessing,
        "output": {
            "type": "float32",
            "layout": "batch, height, width, channels",
            "values": "probabilities of the classes"
            if predictor.has_threshold
            else "probabilities of the background and the classes, in the order of their values",
            "classes": masks.legend(predictor.classes),
            "decision": "probability of 0.5 and more"
            if predictor.has_threshold
            else "the largest probability",
        },
        "trained_on": value.data,
        "protocol": value.protocol,
        "profile": value.profile,
        "measured_scores": value.scores,
        "weights_sha256": files.sha256(member.folder / finished_runs.WEIGHTS),
    }


def model_card(predictor: Predictor, about: Dict[str, Any], value: Worth) -> str:
    """The same for people, in Markdown."""
    steps = [
        f"{number}. `{json.dumps(step)}`" for number, step in enumerate(about["preprocessing"], 1)
    ]
    scores = [f"| {name} | {score:.4f} |" for name, score in value.scores.items()]
    measured = ["| metric | value |", "|---|---|", *scores] if scores else ["Never measured."]
    lines = [
        f"# {predictor.title} ({predictor.paper})",
        f"{worth.USE} {value.warning}".strip(),
        "",
        "## Training",
        f"- Data: {value.data}",
        f"- Protocol {value.protocol}, profile {value.profile}",
        "",
        "## Input",
        "RGB images as float32 (batch, height, width, 3), prepared in this order:",
        *steps,
        "",
        "## Output",
        f"{about['output']['values'].capitalize()}: {about['output']['classes']}. A pixel's class: "
        f"{about['output']['decision']}.",
        "",
        "## Scores on its test images",
        *measured,
        "",
        "## Limits",
        "Trained on one data set; other scanners, stains, magnifications, patients are untested.",
    ]
    return "\n".join(lines) + "\n"
