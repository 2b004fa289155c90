"""Screenshots with a palette of 256 colours: some two fifths of their size. Used by `pictures`."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

MOST = 256
FREQUENT = 192
"""Colours of the palette that are the most frequent; the others are those farthest from them."""

PIXELS = """async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"),
        { width: image.width, height: image.height }), context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const bytes = context.getImageData(0, 0, image.width, image.height).data, parts = [];
    for (let at = 0; at < bytes.length; at += 32768)
        parts.push(String.fromCharCode(...bytes.subarray(at, at + 32768)));
    return [image.width, image.height, btoa(parts.join(""))];
}"""


def small_png(blank: Page, png: bytes) -> bytes:
    """The same picture. Args: blank: a page without a policy, which reads its pixels."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    width, height, text = blank.evaluate(PIXELS, source)
    packed = np.frombuffer(base64.b64decode(text), "<u4") & 0xFFFFFF
    each, places, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([each >> shift & 0xFF for shift in (0, 8, 16)], axis=1).astype(np.int32)
    chosen = palette(colours, counts)
    nearest = np.concatenate(
        [
            ((part[:, None] - chosen[None]) ** 2).sum(axis=2).argmin(axis=1)
            for part in np.array_split(colours, len(colours) // 4096 + 1)
        ]
    )
    rows = nearest[places.reshape(-1)].astype(np.uint8).reshape(height, width)
    return encoded(rows, chosen.astype(np.uint8))


def palette(colours: NDArray[np.int32], counts: NDArray[np.intp]) -> NDArray[np.int32]:
    """At most MOST of them."""
    if len(colours) <= MOST:
        return colours
    chosen = list(np.argsort(counts)[::-1][:FREQUENT])
    away = ((colours[:, None] - colours[chosen][None]) ** 2).sum(axis=2).min(axis=1)
    while len(chosen) < MOST:
        far = int(away.argmax())
        chosen.append(far)
        away = np.minimum(away, ((colours - colours[far]) ** 2).sum(axis=1))
    return colours[chosen]


def encoded(rows: NDArray[np.uint8], colours: NDArray[np.uint8]) -> bytes:
    """PNG of places in the palette."""
    height, width = rows.shape
    lines = np.zeros((height, width + 1), np.uint8)
    lines[:, 1:] = rows
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = (
        (b"IHDR", head),
        (b"PLTE", colours.tobytes()),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
