"""Light on surfaces: diffuse and glossy reflection, shadows, haze and sky."""

import dataclasses

import numpy as np

from mai_depth.data.scenes import shadows
from mai_depth.data.scenes.raycast import trace
from mai_depth.data.scenes.scene import Scene
from mai_depth.data.scenes.solids import Solid
from mai_depth.data.scenes.solids import dot
from mai_depth.data.scenes.solids import turn

_STEP = 3  # light is computed for every third pixel of every third row


@dataclasses.dataclass
class _Surfaces:
    """What the pixels see, [3, height, width] or [height, width]; 0 in the sky.

    `key` names the body and its face: 16 * body + face, -1 in the sky.
    """

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
    light = _spread(_light(scene, surfaces, rays, distance), surfaces.key)
    shine = light[3] * surfaces.gloss
    color = surfaces.albedo * (light[:3] + surfaces.emission) + shine
    if scene.haze is not None:
        veil, reach = scene.haze
        share = 1 - np.exp(distance * np.float32(-1 / reach))
        color += share * (np.array(veil, np.float32).reshape(3, 1, 1) - color)
    if scene.sky is not None and not seen.all():
        color[:, ~seen] = scene.sky(rays[:, ~seen])
    return color, depth, shine


def _surfaces(scene: Scene, rays, distance, number) -> _Surfaces:
    count, shape = distance.size, distance.shape
    origin = np.array(scene.camera.position, np.float32).reshape(3, 1)
    rays, distance, number = rays.reshape(3, -1), distance.ravel(), number.ravel()
    normal, albedo = np.zeros((3, count), np.float32), np.zeros((3, count), np.float32)
    gloss, emission = np.zeros(count, np.float32), np.zeros(count, np.float32)
    key = np.full(count, -1, np.int16)
    order = np.argsort(number, kind="stable")
    ends = np.searchsorted(number[order], np.arange(len(scene.solids) + 1))
    for i in np.flatnonzero(np.diff(ends)):
        solid, mine = scene.solids[i], order[ends[i] : ends[i + 1]]
        ray, far = rays[:, mine], distance[mine]
        face, facing, u, v = solid.surface(solid.local(origin + ray * far))
        facing = turn(solid.turned, facing)
        cosine = dot(facing, ray)
        # Bodies with holes show their inner side as well.
        normal[:, mine] = facing if solid.mask is None else facing * -np.sign(cosine)
        key[mine] = 16 * i + face
        slant = np.sqrt(np.maximum(np.abs(cosine), np.float32(0.02)))
        pixel = far * np.float32(1 / scene.camera.focal) / slant
        for material, part in _materials(solid, face):
            index = mine[part]
            albedo[:, index] = material.pattern(u[part], v[part], pixel[part])
            gloss[index], emission[index] = material.gloss, material.emission
    np.clip(albedo, 0, 1, out=albedo)
    fields = (normal, albedo, gloss, emission, key)
    return _Surfaces(*(field.reshape(*field.shape[:-1], *shape) for field in fields))


def _materials(solid: Solid, face: np.ndarray):
    """Yields each material and its pixels."""
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


def _light(scene: Scene, surfaces: _Surfaces, rays, distance) -> np.ndarray:
    """Computes the light on the surfaces at every `_STEP`-th pixel.

    Returns:
        float32 [4, rows, columns]: diffuse red, green, blue, and the highlight of a perfectly
        glossy surface.
    """
    some = (slice(None, None, _STEP),) * 2
    key, shape = surfaces.key[some], (3, -1)
    ray = rays[(slice(None), *some)].reshape(shape)
    normal = surfaces.normal[(slice(None), *some)].reshape(shape)
    point = np.array(scene.camera.position, np.float32).reshape(3, 1) + ray * distance[some].ravel()
    below, above = (
        np.array(color, np.float32).reshape(3, 1) for color in (scene.below, scene.above))
    light = below + (0.5 + 0.5 * normal[1]) * (above - below)
    light *= shadows.openness(scene, point, normal, key, _STEP)
    shine = np.zeros(key.size, np.float32)
    view = ray / -np.sqrt(dot(ray, ray))
    for number, lamp in enumerate(scene.lights):
        random = np.random.default_rng([3, number])
        color = np.array(lamp.color, np.float32).reshape(3, 1)
        towards, strength = lamp.towards(point)
        share = shadows.visible_share(scene, lamp, point, normal, random, key.shape[1])
        strength = strength * share
        light += color * (np.maximum(dot(towards, normal), 0) * strength)
        shine += _glint(towards + view, normal) * strength * color.mean()
    return np.concatenate([light, shine[None]]).reshape(4, *key.shape)


def _glint(half: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Blinn's highlight: the 64th power of the cosine between `half` and `normal`, [N]."""
    cosine = np.maximum(dot(half, normal), 0)
    glint = cosine * cosine / (dot(half, half) + np.float32(1e-6))
    for _ in range(5):
        glint = glint * glint
    return glint


def _spread(light: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Spreads the light to all pixels: each gets the mean of near pixels of the same face.

    The mean also smooths the grain of the soft shadows.
    """
    spread = np.empty((len(light), *key.shape), np.float32)
    padded = np.pad(light, ((0, 0), (1, 1), (1, 1)), mode="edge")
    keys = np.pad(key[::_STEP, ::_STEP], 1, mode="edge")
    # One place of all squares at a time: such small arrays stay in the cache.
    for y in range(_STEP):
        for x in range(_STEP):
            same = np.s_[y::_STEP, x::_STEP]
            spread[(slice(None), *same)] = _mean_of_near(padded, keys, key[same])
    return spread


def _mean_of_near(light: np.ndarray, keys: np.ndarray, mine: np.ndarray) -> np.ndarray:
    """The mean light of the 3x3 coarse pixels around `mine`; those of other faces hardly count."""
    rows, columns = mine.shape
    total = np.zeros((len(light), rows, columns), np.float32)
    weight = np.zeros((rows, columns), np.float32)
    for y in range(3):
        for x in range(3):
            near = np.s_[y : y + rows, x : x + columns]
            share = np.where(keys[near] == mine, np.float32(1), np.float32(1e-4))
            weight += share
            for target, values in zip(total, light, strict=True):
                target += share * values[near]
    return total / weight
