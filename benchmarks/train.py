"""How fast does a network train? Images per second against the same network in Keras, on the same cores in one run.

    python benchmarks/train.py                        # ResNet50 and VGG16 with the study's top, 224 x 224, batch 16
    python benchmarks/train.py resnet50 --steps 5
    python benchmarks/train.py --size-px 96 --channels-first

Ours is the training module of `fringewatch train-cnn`: bfloat16 where it is safe, channels last, the study's SGD, and
batches made from 8-bit patches with augmentation. The rival is Keras 3 on torch with the same layers and optimiser,
`train_on_batch` on a batch that lies ready in memory, in float32 and in mixed_bfloat16, of which the faster counts.
Both have the study's number of parameters, which is checked. Steps of all alternate, so that a busy machine slows all
alike; medians are printed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Keras reads it when it is imported.
os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch

from fringewatch.encoding import Encoding
from fringewatch.networks.registry import STUDY, build
from fringewatch.training.classifier.data import Batcher, PatchArrays
from fringewatch.training.classifier.module import ClassifierModule
from fringewatch.training.classifier.settings import ClassifierConfig
from machine import load, processor

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORKS = ("resnet50", "vgg16")
WANTED_RATIO = 2.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=f"any of {', '.join(NETWORKS)}")
    parser.add_argument("--size-px", type=int, default=224, help="side of the patches")
    parser.add_argument("--batch-size", type=int, default=16, help="patches per step")
    parser.add_argument("--steps", type=int, default=3, help="timed steps of each, after two that are not timed")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of torch, for all")
    parser.add_argument(
        "--channels-first", action="store_true", help="Keras with channels first, torch's own order, not its default"
    )
    parser.add_argument("--out", type=Path, help="write the results to this JSON file too")
    arguments = parser.parse_args()
    if unknown := set(arguments.networks) - set(NETWORKS):
        parser.error(f"unknown network {unknown.pop()!r}; choose from {', '.join(NETWORKS)}")
    torch.set_num_threads(arguments.threads)
    versions = f"torch {torch.__version__}, Keras {keras.__version__}, Python {platform.python_version()}"
    print(f"{processor()}, {arguments.threads} threads, {versions}")
    busy = load("times are too long, and ratios uncertain")
    results: dict[str, Any] = {"processor": processor(), "threads": arguments.threads, "load": busy}
    results |= {"size_px": arguments.size_px, "batch_size": arguments.batch_size}
    for name in arguments.networks:
        results[name] = compare(
            name,
            size=arguments.size_px,
            batch=arguments.batch_size,
            steps=arguments.steps,
            channels_first=arguments.channels_first,
        )
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def compare(name: str, *, size: int, batch: int, steps: int, channels_first: bool) -> dict[str, float]:
    """Time training steps of one network, ours and Keras' in two precisions; return images per second and the ratio."""
    rivals: dict[str, Callable[[], None]] = {
        "fringewatch, bf16": our_step(name, size, batch),
        "Keras, float32": keras_step(name, size, batch, "float32", channels_first=channels_first),
        "Keras, mixed_bfloat16": keras_step(name, size, batch, "mixed_bfloat16", channels_first=channels_first),
    }
    times: dict[str, list[float]] = {title: [] for title in rivals}
    for round_number in range(2 + steps):
        for title, step in rivals.items():
            started = time.perf_counter()
            step()
            if round_number >= 2:
                times[title].append(time.perf_counter() - started)
    speed = {title: batch / statistics.median(values) for title, values in times.items()}
    ours, *others = speed.values()
    ratio = ours / max(others)
    print(f"\n{name} with the study's top, {size} x {size}, batch {batch}, {steps} steps")
    for title, value in speed.items():
        spread = (max(times[title]) - min(times[title])) / statistics.median(times[title])
        print(f"  {title:24}{value:8.2f} images/s   (steps differ by {spread:.0%})")
    print(f"  {'ratio to the faster':24}{ratio:8.2f}            (wanted: at least {WANTED_RATIO:g})")
    # The next network needs the memory.
    del rivals
    gc.collect()
    return speed | {"ratio": ratio}


def our_step(name: str, size: int, batch: int) -> Callable[[], None]:
    """Return a training step of `fringewatch train-cnn`, as Lightning would take it with bf16-mixed."""
    config = ClassifierConfig(network=name, data=Path(), input_size_px=size, batch_size=batch)
    network = build(config.network_config(2)).to(memory_format=torch.channels_last).train()
    _check_parameters(name, sum(value.numel() for value in network.state_dict().values() if value.ndim), "ours")
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 256, (4 * batch, size, size), dtype=np.uint8)
    arrays = PatchArrays(codes, np.arange(4 * batch) % 2, (), ("background", "deformation"))
    encoding = Encoding(kind="grey")
    module = ClassifierModule(
        network,
        config,
        Batcher(arrays, encoding, augment=True),
        Batcher(arrays, encoding, augment=False),
        weights=None,
        classes=2,
        validation_patches=(),
    )
    made = module.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    number = 0

    def step() -> None:
        nonlocal number
        with torch.autocast("cpu", torch.bfloat16):
            loss = module.training_step(number % len(module.train_batches))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        number += 1

    return step


def keras_step(name: str, size: int, batch: int, precision: str, *, channels_first: bool) -> Callable[[], None]:
    """Return a training step of the same network in Keras, on a batch that lies ready."""
    keras.config.set_dtype_policy(precision)
    keras.config.set_image_data_format("channels_first" if channels_first else "channels_last")
    shape = (3, size, size) if channels_first else (size, size, 3)
    application = {"resnet50": keras.applications.ResNet50, "vgg16": keras.applications.VGG16}[name]
    model = study_top(application(include_top=False, weights=None, input_shape=shape))
    _check_parameters(name, model.count_params(), "Keras")
    schedule = keras.optimizers.schedules.InverseTimeDecay(1e-3, 1, 1e-6)
    model.compile(
        keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True), keras.losses.SparseCategoricalCrossentropy()
    )
    generator = torch.Generator().manual_seed(0)
    patches = torch.rand((batch, *shape), generator=generator) * 255
    label = torch.arange(batch) % 2

    def step() -> None:
        model.train_on_batch(patches, label)

    return step


def study_top(backbone: keras.Model) -> keras.Model:
    """Return a backbone with the study's top: pooling, Dense 1024 and 200, and the classifier."""
    layers = keras.layers
    x = layers.GlobalAveragePooling2D()(backbone.output)
    x = layers.Dense(1024, activation="relu")(x)
    x = layers.Dense(200, activation="softmax")(x)
    for penalty in (keras.regularizers.L2(0.01), None):
        x = layers.Dense(200, kernel_regularizer=penalty)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Dense(2)(layers.Dropout(0.5)(x)))
    return keras.Model(backbone.input, layers.Activation("softmax", dtype="float32")(x))


def _check_parameters(name: str, count: int, whose: str) -> None:
    wanted = next(row.parameters.total for row in STUDY if row.network.name == name and not row.pretrained)
    if count != wanted:
        message = f"{name} of {whose} has {count:,} parameters, the study's {wanted:,}: they are not the same network"
        raise RuntimeError(message)


if __name__ == "__main__":
    main()
