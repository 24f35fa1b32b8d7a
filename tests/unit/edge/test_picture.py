"""Any picture becomes upright RGB, or is refused in one line that says what to do."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import PictureError
from edge.pictures.header import read_header
from edge.pictures.picture import picture_paths, read_picture

DATA = Path("../shared/data")
SUFFIXES = (".jpg", ".png", ".webp", ".bmp", ".pnm", ".tif")
RNG_SEED = 2


def photo(height=30, width=40):
    """Return a smooth BGR picture without two equal rows or columns."""
    noise = np.random.default_rng(RNG_SEED).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def encode(suffix, bgr):
    """Return *bgr* as the bytes of a file of that kind."""
    done, encoded = cv2.imencode(suffix, bgr)
    assert done
    return encoded.tobytes()


def write(folder, name, encoded):
    """Return the path of a new file."""
    path = folder / name
    path.write_bytes(encoded)
    return path


def refusal(path, **limits):
    """Return the message with which *path* is refused; it must name the path, in one line."""
    with pytest.raises(PictureError) as caught:
        read_picture(path, **limits)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def exif(orientation, order="<"):
    """Return an Exif block that holds nothing but the orientation."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def with_exif(suffix, encoded, block):
    """Return *encoded* with an Exif block where its kind keeps it."""
    if suffix == ".jpg":
        segment = b"Exif\0\0" + block
        return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + encoded[2:]
    if suffix == ".png":
        return encoded[:33] + png_chunk(b"eXIf", block) + encoded[33:]
    size = struct.pack("<I", read_header(encoded).width_px - 1)[:3]
    size += struct.pack("<I", read_header(encoded).height_px - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0b1000) + size + encoded[12:]
    body += b"EXIF" + struct.pack("<I", len(block)) + block
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".pnm", ".tif"])
def test_colour_pictures_arrive_as_rgb(tmp_path, suffix):
    """A lossless picture comes back value by value, with red first."""
    bgr = photo()
    pixels = read_picture(write(tmp_path, "p" + suffix, encode(suffix, bgr)))
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.owndata
    np.testing.assert_array_equal(pixels, bgr[..., ::-1])


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_pictures_arrive_as_opencv_decodes_them(tmp_path, suffix):
    path = write(tmp_path, "p" + suffix, encode(suffix, photo()))
    expected = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(read_picture(path), expected)


def test_the_kind_is_told_by_the_content_not_by_the_suffix(tmp_path):
    path = write(tmp_path, "photo.jpg", encode(".png", photo()))
    np.testing.assert_array_equal(read_picture(path), photo()[..., ::-1])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_grey_pictures_get_three_equal_channels(tmp_path, suffix):
    grey = photo()[..., 0]
    pixels = read_picture(write(tmp_path, "p" + suffix, encode(suffix, grey)))
    assert pixels.shape == (30, 40, 3)
    assert np.ptp(pixels, axis=2).max() <= (2 if suffix == ".webp" else 0)  # WebP stores colour
    assert abs(pixels[..., 0].astype(int) - grey).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".pnm", ".tif"])
def test_16_bit_values_are_scaled_and_rounded(tmp_path, suffix):
    """White stays white and black black; between them the nearest 8-bit value is taken."""
    deep = np.zeros((1, 5, 3), np.uint16)
    deep[0, :, 2] = (0, 128, 129, 25700, 65535)
    pixels = read_picture(write(tmp_path, "p" + suffix, encode(suffix, deep)))
    assert pixels[0].tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [100, 0, 0], [255, 0, 0]]


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (b"P5\n3 1\n15\n\x00\x07\x0f", [0, 119, 255]),
        (b"P5\n3 1\n4095\n\x00\x00\x08\x00\x0f\xff", [0, 128, 255]),
        (b"P2\n3 1\n15\n0 7 15\n", [0, 119, 255]),
        (b"P2\n# a comment\n3 1\n1023\n0 512 1023\n", [0, 128, 255]),
        (b"P5 # 7 8\n3 1 255\n\x00\x07\xff", [0, 7, 255]),
        (b"P1\n3 1\n1 0 1\n", [0, 255, 0]),
    ],
)
def test_netpbm_values_are_scaled_by_the_white_that_the_file_names(tmp_path, encoded, expected):
    pixels = read_picture(write(tmp_path, "p.pgm", encoded))
    assert pixels[0, :, 1].tolist() == expected


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_transparent_pixels_are_laid_on_mid_grey(tmp_path, depth):
    white = np.iinfo(depth).max
    bgra = np.array([[(0, 0, white, white), (0, 0, white, 0), (0, 0, white, white // 2)]], depth)
    pixels = read_picture(write(tmp_path, "p.png", encode(".png", bgra)))
    assert pixels[0, :2].tolist() == [[255, 0, 0], [128, 128, 128]]
    assert abs(pixels[0, 2].astype(int) - (192, 64, 64)).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "order"), [(".jpg", "<"), (".jpg", ">"), (".png", "<")])
def test_exif_orientation_is_applied(tmp_path, suffix, order, orientation):
    """OpenCV's own colour mode, which reads Exif in these two kinds, is the judge."""
    encoded = with_exif(suffix, encode(suffix, photo()), exif(orientation, order))
    path = write(tmp_path, "p" + suffix, encoded)
    expected = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert expected.shape == ((30, 40, 3) if orientation < 5 else (40, 30, 3))
    np.testing.assert_array_equal(read_picture(path), expected)


def test_exif_orientation_is_applied_to_webp_and_with_alpha(tmp_path):
    """6 is a phone held upright: what is stored on top belongs on the right."""
    lying = photo()
    plain = read_picture(write(tmp_path, "plain.webp", encode(".webp", lying)))
    turned = write(tmp_path, "p.webp", with_exif(".webp", encode(".webp", lying), exif(6)))
    np.testing.assert_array_equal(read_picture(turned), np.rot90(plain, -1))
    opaque = cv2.cvtColor(lying, cv2.COLOR_BGR2BGRA)
    turned = write(tmp_path, "p.png", with_exif(".png", encode(".png", opaque), exif(6)))
    np.testing.assert_array_equal(read_picture(turned), np.rot90(lying[..., ::-1], -1))


@pytest.mark.parametrize("block", [b"", b"II*\0", b"XX" + bytes(30), exif(0), exif(9)])
def test_a_senseless_exif_block_leaves_the_picture_as_it_is(tmp_path, block):
    path = write(tmp_path, "p.png", with_exif(".png", encode(".png", photo()), block))
    np.testing.assert_array_equal(read_picture(path), photo()[..., ::-1])


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.75, 0.97])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_picture_is_refused_and_not_filled_in(tmp_path, capfd, suffix, share):
    """One line says so; the decoders' own complaints do not reach the terminal."""
    encoded = encode(suffix, photo(100, 150))
    path = write(tmp_path, "p" + suffix, encoded[: max(4, int(len(encoded) * share))])
    assert "copy it again" in refusal(path) or share == 0.01
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_whose_tail_is_zeros_is_refused(tmp_path, progressive):
    """An interrupted copy may keep the full length."""
    quality = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
    encoded = cv2.imencode(".jpg", photo(100, 150), quality)[1].tobytes()
    path = write(tmp_path, "p.jpg", encoded[: len(encoded) // 2] + bytes(len(encoded) // 2))
    assert "copy it again" in refusal(path)


def test_a_png_with_one_flipped_bit_is_refused(tmp_path):
    encoded = bytearray(encode(".png", photo()))
    encoded[len(encoded) // 2] ^= 1
    assert "damaged" in refusal(write(tmp_path, "p.png", bytes(encoded)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damage_anywhere_gives_a_picture_or_a_refusal_and_nothing_else(tmp_path, suffix):
    random = np.random.default_rng(RNG_SEED)
    whole = encode(suffix, photo())
    for _ in range(30):
        damaged = bytearray(whole)
        for at in random.integers(0, min(len(whole), 200), 3):
            damaged[at] = random.integers(0, 256)
        try:
            pixels = read_picture(write(tmp_path, "p", bytes(damaged)), most_pixels=100_000)
        except PictureError:
            continue
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path, monkeypatch, suffix
):
    path = write(tmp_path, "p" + suffix, encode(suffix, photo(150, 200)))
    assert read_picture(path, most_pixels=30_000).shape == (150, 200, 3)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the bomb was decoded"))
    message = refusal(path, most_pixels=29_999)
    assert "200 × 150 = 0.0 megapixels" in message
    assert "smaller" in message


def test_a_decompression_bomb_of_a_few_bytes_is_refused_with_its_size(tmp_path):
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    bomb += png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    message = refusal(write(tmp_path, "p.png", bomb))
    assert "60000 × 60000 = 3600.0 megapixels; at most 50 are read" in message


@pytest.mark.parametrize("kind", [b"VP8 ", b"VP8L", b"VP8X"])
def test_the_three_webp_layouts_tell_their_size(kind):
    body = {
        b"VP8 ": bytes(6) + struct.pack("<HH", 640, 480 | 1 << 14),
        b"VP8L": b"\x2f" + struct.pack("<I", 639 | 479 << 14),
        b"VP8X": bytes(4) + b"\x7f\x02\x00\xdf\x01\x00",
    }[kind]
    chunk = kind + struct.pack("<I", len(body)) + body
    header = read_header(b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk)
    assert (header.width_px, header.height_px, header.animated) == (640, 480, False)


def test_a_bmp_stored_top_row_first_is_read(tmp_path):
    encoded = bytearray(encode(".bmp", photo()))
    struct.pack_into("<i", encoded, 22, -30)
    pixels = read_picture(write(tmp_path, "p.bmp", bytes(encoded)))
    np.testing.assert_array_equal(pixels, photo()[::-1, :, ::-1])


def test_animated_files_are_refused_by_name(tmp_path):
    png = encode(".png", photo())
    moving = png[:33] + png_chunk(b"acTL", struct.pack(">II", 2, 0)) + png[33:]
    assert "animated PNG" in refusal(write(tmp_path, "p.png", moving))
    webp = bytearray(with_exif(".webp", encode(".webp", photo()), exif(1)))
    webp[20] |= 0b10
    assert "animated WebP" in refusal(write(tmp_path, "p.webp", bytes(webp)))
    assert "GIF" in refusal(write(tmp_path, "p.gif", b"GIF89a" + bytes(30)))


@pytest.mark.parametrize(
    ("encoded", "says"),
    [
        (b"", "empty (0 bytes)"),
        (b"dear diary, today I renamed a text file\n", "no picture of a known kind"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(20), "HEIC"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"P5\n0 0\n255\n", "0 × 0"),
        (b"P5\nfour 4\n255\n", "damaged"),
        (b"P5\n4 4\n70000\n" + bytes(32), "damaged"),
        (b"\xff\xd8\xffnonsense" * 9, "too early"),
        (b"\xff\xd8\xff\xe0\x00\x04\x00\x00nonsense", "damaged"),
        (b"II*\0\x08\0\0\0\0\0", "damaged"),
    ],
)
def test_what_is_no_picture_is_refused_with_advice(tmp_path, encoded, says):
    assert says in refusal(write(tmp_path, "photo.jpg", encoded))


def test_what_opencv_raises_or_gives_beyond_four_channels_is_a_picture_error(tmp_path, monkeypatch):
    path = write(tmp_path, "p.png", encode(".png", photo()))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((4, 4, 5), np.uint8))
    assert "5 channels" in refusal(path)

    def broken(*_):
        raise cv2.error

    monkeypatch.setattr(cv2, "imdecode", broken)
    assert "cannot be decoded" in refusal(path)


def test_float_pictures_are_refused(tmp_path):
    path = write(tmp_path, "p.tif", encode(".tif", photo().astype(np.float32)))
    assert "float32" in refusal(path)


def test_what_is_no_file_is_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nobody.jpg")
    assert "is a folder" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "not a file" in refusal(tmp_path / "pipe.jpg")
    assert "too long" in refusal(tmp_path / ("a" * 300 + ".jpg"))


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path, "p.png", encode(".png", photo()))

    def denied(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert "Permission denied" in refusal(path)


def test_a_file_of_too_many_bytes_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "disk.png"
    with path.open("wb") as file:
        file.truncate(200 * 2**20)  # sparse: no disk is used
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    assert "210 MB" in refusal(path)


def test_pictures_are_listed_in_natural_order_through_sub_folders(tmp_path):
    names = ["10.pgm", "2.PNG", "1.jpg", "s10/1.pgm", "s2/10.pgm", "s2/9.pgm", "B.webp", "a.tiff"]
    hidden = [".thumb.jpg", ".cache/1.jpg", "s2/.1.pgm", "notes.txt", "film.gif"]
    for name in names + hidden:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    listed = [str(path.relative_to(tmp_path)) for path in picture_paths(tmp_path)]
    expected = ["1.jpg", "2.PNG", "10.pgm", "a.tiff", "B.webp"]
    assert listed == [*expected, "s2/9.pgm", "s2/10.pgm", "s10/1.pgm"]


def test_a_hidden_folder_above_does_not_hide_its_pictures(tmp_path):
    folder = tmp_path / ".local" / "photos"
    folder.mkdir(parents=True)
    (folder / "1.jpg").touch()
    assert picture_paths(folder) == (folder / "1.jpg",)


def test_only_a_folder_can_be_listed(tmp_path):
    with pytest.raises(PictureError, match="is not a folder"):
        picture_paths(tmp_path / "nowhere")
    assert picture_paths(tmp_path) == ()


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")
def test_real_photos_are_read():
    """The AT&T faces (PGM, 92 × 112) and some photos from the web (JPEG)."""
    faces = picture_paths(DATA / "att-faces")
    assert len(faces) == 400
    assert {read_picture(path).shape for path in faces[:20]} == {(112, 92, 3)}
    for path in picture_paths(DATA / "celebrities")[:20]:
        expected = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        np.testing.assert_array_equal(read_picture(path), expected)
