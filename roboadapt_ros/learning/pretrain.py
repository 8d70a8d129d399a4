"""`roboadapt pretrain`: a small backbone by masked autoencoding on rendered scenes."""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt
from roboadapt_ros.backbones.frozen import build_timm, save_backbone
from roboadapt_ros.backbones.manifest import BackboneManifest
from roboadapt_ros.backbones.masked import MaskedAutoencoder
from roboadapt_ros.contract import Contract
from roboadapt_ros.encoder.preprocess import preprocess
from roboadapt_ros.files import require_free
from roboadapt_ros.learning.dataset import data_hash, episode_paths
from roboadapt_ros.learning.episode import load_episode, require_cameras
from roboadapt_ros.learning.progress import Progress, silent
from roboadapt_ros.learning.settings import PretrainConfig
import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def load_images(
    config: PretrainConfig, contract: Contract, progress: Progress
) -> tuple[npt.NDArray[np.uint8], str]:
    """Return (N, S, S, 3) frames of all cameras, and the data's hash."""
    paths = [path for folder in config.data for path in episode_paths(folder)]
    images = []
    for number, path in enumerate(paths):
        episode = load_episode(path)
        require_cameras(path, episode, contract)
        for camera in contract.cameras:
            frames = episode.frames[camera.name][:: config.every]
            images += [preprocess(frame, camera, config.image_size) for frame in frames]
        progress(number + 1, len(paths), 'reading frames')
    return np.array(images, dtype=np.uint8), data_hash(paths)


def cosine(step: int, total: int, warm_up: int) -> float:
    """Return the learning-rate factor: linear warm-up, then cosine to 1 % of the peak."""
    if step < warm_up:
        return (step + 1) / warm_up
    share = (step - warm_up) / max(1, total - warm_up)
    return 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * share))


def pretrain(
    config: PretrainConfig, contract: Contract, progress: Progress = silent
) -> BackboneManifest:
    """Train a backbone and write its package.

    Args:
        config: Settings.
        contract: Cameras (crop and order) of the recorded rig.
        progress: Told after every step.

    Returns:
        The manifest as written.

    Raises:
        PackageError: A package is there, and it is not to be replaced.
        ConfigError: The name of the folder is no name of a package.
        RoboAdaptError: The data can't be read.
    """
    require_free(config.out, 'another --out', force=config.force)
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads)
    model = MaskedAutoencoder(build_timm(_manifest(config)), config.width // 2, 2)
    images, digest = load_images(config, contract, progress)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.05
    )
    warm_up = max(1, config.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: cosine(step, config.steps, warm_up)
    )
    mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) * 255
    std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255
    rng = np.random.default_rng(config.seed)
    losses, started = [], time.monotonic()
    for step in range(config.steps):
        batch = torch.from_numpy(images[np.sort(rng.integers(len(images), size=config.batch))])
        pixels = (batch.permute(0, 3, 1, 2).float() - mean) / std
        loss = model(pixels, config.keep_ratio)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        progress(step + 1, config.steps, f'loss {np.mean(losses[-100:]):.4f}')
    manifest = _manifest(
        config,
        provenance={
            'recipe': 'masked autoencoding on rendered scenes (roboadapt pretrain)',
            'data_sha256': digest,
            'images': len(images),
            'steps': config.steps,
            'batch': config.batch,
            'keep_ratio': config.keep_ratio,
            'seed': config.seed,
            'final_loss': round(float(np.mean(losses[-100:])), 5),
            'seconds': round(time.monotonic() - started),
        },
    )
    return save_backbone(config.out, manifest, model.vit, images[len(images) // 2])


def _manifest(
    config: PretrainConfig, provenance: dict[str, object] | None = None
) -> BackboneManifest:
    return BackboneManifest(
        schema_version=1,
        id=config.out.name,
        timm_name='vit_tiny_patch16_224',
        timm_kwargs={
            'patch_size': config.patch_size,
            'embed_dim': config.width,
            'depth': config.depth,
            'num_heads': config.heads,
            'class_token': False,
            'global_pool': 'avg',
            # Without a class token timm moves the norm behind the pooling; the spatial
            # map is read here, so it stays in front.
            'fc_norm': False,
        },
        image_size=config.image_size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        pooled_channels=config.pooled_channels,
        digest='',
        licence='Apache-2.0',
        provenance=provenance or {},
    )
