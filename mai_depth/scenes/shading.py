"""Light on surfaces: diffuse and glossy reflection, shadows, haze and sky."""

import dataclasses

import numpy as np

from mai_depth.scenes import shadows
from mai_depth.scenes.raycast import trace
from mai_depth.scenes.scene import Scene
from mai_depth.scenes.solids import Solid
from mai_depth.scenes.solids import dot
from mai_depth.scenes.solids import turn

_STEP = 2  # shadows are found for every second pixel of every second row


@dataclasses.dataclass
class _Surfaces:
    """What the pixels see, [3, height, width] or [height, width]; nothing in the sky.

    `key` names the solid and its face, -1 in the sky.
    """

    point: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    gloss: np.ndarray
    emission: np.ndarray
    key: np.ndarray


def render(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Renders a scene.

    Args:
        scene: The scene.

    Returns:
        Linear RGB, float32 [3, height, width]; z depth, float32 [height, width] in metres,
        infinite in the sky; highlights, float32 [height, width], the glossy part of the light.
    """
    depth, number = trace(scene.solids, scene.camera)
    rays = scene.camera.rays()
    seen = number >= 0
    distance = np.where(seen, depth, 0)
    surfaces = _surfaces(scene, rays, distance, number)
    color, shine = _lit(scene, surfaces, rays)
    if scene.haze is not None:
        veil, reach = scene.haze
        share = 1 - np.exp(distance * np.float32(-1 / reach))
        color += share * (np.float32(veil).reshape(3, 1, 1) - color)
    if scene.sky is not None and not seen.all():
        color[:, ~seen] = scene.sky(rays[:, ~seen])
    return color, depth, shine


def _surfaces(scene: Scene, rays, distance, number) -> _Surfaces:
    origin = np.asarray(scene.camera.position, np.float32).reshape(3, 1, 1)
    point = origin + rays * distance
    count = distance.size
    flat_point, flat_rays, flat_distance = (
        point.reshape(3, -1),
        rays.reshape(3, -1),
        distance.ravel(),
    )
    normal, albedo = np.zeros((3, count), np.float32), np.zeros((3, count), np.float32)
    gloss, emission = np.zeros(count, np.float32), np.zeros(count, np.float32)
    key = np.full(count, -1, np.int16)
    order = np.argsort(number.ravel(), kind="stable")
    ends = np.searchsorted(number.ravel()[order], np.arange(len(scene.solids) + 1))
    for i, solid in enumerate(scene.solids):
        mine = order[ends[i] : ends[i + 1]]
        if not mine.size:
            continue
        face, facing, u, v = solid.surface(solid.local(flat_point[:, mine]))
        facing = turn(solid.turned, facing)
        # Bodies with holes show their inner side as well.
        cosine = -dot(facing, flat_rays[:, mine])
        normal[:, mine] = facing * np.where(cosine < 0, np.float32(-1), np.float32(1))
        slant = np.sqrt(np.maximum(np.abs(cosine), np.float32(0.02)))
        pixel = flat_distance[mine] * np.float32(1 / scene.camera.focal) / slant
        key[mine] = 16 * i + face
        for material, part in _materials(solid, face):
            index = mine[part]
            albedo[:, index] = material.pattern(u[part], v[part], pixel[part])
            gloss[index], emission[index] = material.gloss, material.emission
    shape = distance.shape
    return _Surfaces(
        point,
        normal.reshape(3, *shape),
        np.clip(albedo, 0, 1).reshape(3, *shape),
        gloss.reshape(shape),
        emission.reshape(shape),
        key.reshape(shape),
    )


def _materials(solid: Solid, face: np.ndarray):
    """Pairs of a material and the pixels that wear it."""
    if not solid.faces:
        yield solid.material, slice(None)
        return
    special = np.zeros(face.shape, bool)
    for number, material in solid.faces.items():
        part = face == number
        special |= part
        if part.any():
            yield material, np.flatnonzero(part)
    if not special.all():
        yield solid.material, np.flatnonzero(~special)


def _lit(scene: Scene, surfaces: _Surfaces, rays) -> tuple[np.ndarray, np.ndarray]:
    """The light that surfaces send to the camera, [3, height, width], and its glossy part."""
    shares = _spread(_shares(scene, surfaces), surfaces.key)
    upward = 0.5 + 0.5 * surfaces.normal[1]
    below, above = (np.float32(color).reshape(3, 1, 1) for color in (scene.below, scene.above))
    light = (below + upward * (above - below)) * shares[0] + surfaces.emission
    shine = np.zeros(upward.shape, np.float32)
    shiny = np.flatnonzero(surfaces.gloss.ravel() > 0)
    view = -rays.reshape(3, -1)[:, shiny]
    view /= np.sqrt(dot(view, view))
    for lamp, visible in zip(scene.lights, shares[1:], strict=True):
        color = np.float32(lamp.color).reshape(3, 1, 1)
        towards, strength = lamp.towards(surfaces.point)
        cosine = np.maximum(dot(towards, surfaces.normal), 0)
        light += color * (cosine * strength * visible)
        half = np.broadcast_to(towards, rays.shape).reshape(3, -1)[:, shiny] + view
        half /= np.sqrt(dot(half, half) + np.float32(1e-6))
        glint = np.maximum(dot(half, surfaces.normal.reshape(3, -1)[:, shiny]), 0)
        for _ in range(5):  # the 32nd power
            glint = glint * glint
        strength = np.broadcast_to(strength, upward.shape) * visible * (cosine > 0)
        shine.ravel()[shiny] += glint * strength.ravel()[shiny] * color.mean()
    shine *= surfaces.gloss
    return surfaces.albedo * light + shine, shine


def _shares(scene: Scene, surfaces: _Surfaces) -> np.ndarray:
    """The open part of the surroundings and the visible part of each lamp, for some pixels.

    Returns:
        float32 [1 + lamps, rows, columns], for every `_STEP`-th pixel.
    """
    some = (slice(None, None, _STEP),) * 2
    key = surfaces.key[some]
    point = np.ascontiguousarray(surfaces.point[(slice(None), *some)]).reshape(3, -1)
    normal = np.ascontiguousarray(surfaces.normal[(slice(None), *some)]).reshape(3, -1)
    shares = [shadows.openness(scene, point, normal, key, _STEP)]
    for number, lamp in enumerate(scene.lights):
        random = np.random.default_rng([3, number])
        shares.append(shadows.visible_share(scene, lamp, point, normal, random))
    return np.stack(shares).reshape(-1, *key.shape)


def _spread(shares: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Carries `shares` to all pixels: the mean over near pixels of the same face.

    The mean also smooths the grain of the soft shadows.
    """
    height, width = key.shape
    coarse = key[::_STEP, ::_STEP]
    total = np.zeros((len(shares), height, width), np.float32)
    weight = np.zeros((height, width), np.float32)
    padded = np.pad(shares, ((0, 0), (1, 1), (1, 1)), mode="edge")
    keys = np.pad(coarse, 1, mode="edge")
    rows, columns = coarse.shape
    for y in range(3):
        for x in range(3):
            near = np.s_[y : y + rows, x : x + columns]
            twice = _enlarged(keys[near], key.shape)
            share = np.where(twice == key, np.float32(1), np.float32(1e-4))
            weight += share
            for target, values in zip(total, padded[(slice(None), *near)], strict=True):
                target += share * _enlarged(values, key.shape)
    return total / weight


def _enlarged(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return values.repeat(_STEP, 0).repeat(_STEP, 1)[: shape[0], : shape[1]]
