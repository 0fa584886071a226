"""Pillow's resize and decode of generated pictures: writes image.safetensors.

    python3 tests/golden/image.py

Bytes are stored as i32. `resize.*`: a picture and its bilinear versions. `file.*`: whole image files, and as `rgb.*`
what `ImageOps.exif_transpose(Image.open(file)).convert("RGB")` makes of them.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

rng = np.random.default_rng(1)
out = {}


def put(name, array):
    out[name] = np.ascontiguousarray(np.asarray(array).astype(np.int32))


def picture(height, width):
    """Waves, an edge and noise: smooth, sharp and hard to guess."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([128 + 100 * np.sin(x / 3 + c) * np.cos(y / (4 + c)) for c in range(3)], -1)
    waves[y > x] *= 0.5
    return np.clip(waves + rng.normal(0, 12, waves.shape), 0, 255).astype(np.uint8)


source = picture(37, 23)
source[:6, :6] = rng.choice([0, 255], (6, 6, 3))
put("resize.source", source)
for height, width in [(64, 32), (11, 9), (64, 9), (7, 40), (37, 12), (1, 1), (36, 22)]:
    put(f"resize.{height}x{width}", Image.fromarray(source).resize((width, height), Image.BILINEAR))


def put_file(name, image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    put(f"file.{name}", np.frombuffer(file.getvalue(), np.uint8))
    put(f"rgb.{name}", Image.open(io.BytesIO(file.getvalue())).convert("RGB"))


small = Image.fromarray(picture(9, 13))
alpha = Image.fromarray(rng.integers(0, 256, (9, 13), dtype=np.uint8))
put_file("rgb.png", small, "PNG")
put_file("grey.png", small.convert("L"), "PNG")
put_file("bilevel.png", small.convert("1"), "PNG")
put_file("palette.png", small.quantize(16), "PNG")
put_file("palette_transparent.png", small.quantize(16), "PNG", transparency=3)
deep = rng.integers(0, 65536, (9, 13), dtype=np.uint16)
put_file("grey16.png", Image.fromarray(deep), "PNG")
# Pillow's convert cuts 16-bit grey off at 255; the picture is in the upper 8 bits.
put("rgb.grey16.png", np.repeat((deep >> 8)[..., None], 3, -1))
rgba = small.copy()
rgba.putalpha(alpha)
put_file("rgba.png", rgba, "PNG")
grey_alpha = small.convert("L")
grey_alpha.putalpha(alpha)
put_file("grey_alpha.png", grey_alpha, "PNG")

photo = Image.fromarray(picture(33, 21))
put_file("420.jpg", photo, "JPEG", quality=90)
put_file("444.jpg", photo, "JPEG", quality=90, subsampling=0)
put_file("progressive.jpg", photo, "JPEG", quality=90, progressive=True)
put_file("grey.jpg", photo.convert("L"), "JPEG", quality=90)
put_file("restart.jpg", photo, "JPEG", quality=90, restart_marker_blocks=1)


def interlaced(samples, colour_type):
    """A PNG file in the seven passes of Adam7 (PNG specification, section 8.2); Pillow writes none."""
    height, width, _ = samples.shape
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for x, y, dx, dy in passes:
        for row in samples[y::dy, x::dx]:
            # Filter 0; numbers of 16 bits have their upper byte first.
            rows += b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() if row.size else b""
    bits = 8 * samples.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 1)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


for name, samples, colour_type in [
    ("interlaced_rgb.png", picture(9, 13), 2),
    ("interlaced_rgba16.png", rng.integers(0, 65536, (9, 13, 4), dtype=np.uint16), 6),
    ("interlaced_grey_alpha.png", rng.integers(0, 256, (3, 2, 2), dtype=np.uint8), 4),
]:
    file = interlaced(samples, colour_type)
    put(f"file.{name}", np.frombuffer(file, np.uint8))
    put(f"rgb.{name}", Image.open(io.BytesIO(file)).convert("RGB"))


def put_upright(name, image, format, orientation=None, **options):
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    file = io.BytesIO()
    image.save(file, format, **options)
    put(f"file.{name}", np.frombuffer(file.getvalue(), np.uint8))
    opened = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue())))
    put(f"rgb.{name}", opened.convert("RGB"))


scene = Image.fromarray(picture(9, 13))
for orientation in range(1, 9):
    put_upright(f"orientation_{orientation}.png", scene, "PNG", orientation)
put_upright("orientation_6.jpg", Image.fromarray(picture(33, 21)), "JPEG", 6, quality=90)
put_upright("orientation_6.webp", scene, "WEBP", 6, lossless=True)
put_upright("orientation_6.tiff", scene, "TIFF", 6)
put_upright("rgb.bmp", scene, "BMP")
put_upright("palette.bmp", scene.quantize(16), "BMP")
put_upright("rgb.webp", scene, "WEBP", lossless=True)
put_upright("animated.webp", scene, "WEBP", lossless=True, save_all=True,
            append_images=[Image.fromarray(picture(9, 13))])
put_upright("rgb.tiff", scene, "TIFF")
put_upright("lzw.tiff", scene, "TIFF", compression="tiff_lzw")
put_upright("grey.tiff", scene.convert("L"), "TIFF")
put_upright("static.gif", scene.quantize(32), "GIF")
put_upright("animated.gif", scene.quantize(32), "GIF", save_all=True, append_images=[scene.quantize(8)])

save_file(out, Path(__file__).with_suffix(".safetensors"))
