import io
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data_modules.errors import ImageNotFoundError, UnreadableImageError, UnsafePathError
from data_modules.images import ImageFolder, read_image
from data_modules.links import LINKS


@pytest.fixture
def pixels():
    smooth = np.linspace(0, 200, 20, dtype=np.uint8)
    return np.stack(
        [np.tile(smooth, (12, 1)), np.tile(smooth[::-1], (12, 1)), np.full((12, 20), 90, np.uint8)], axis=-1
    )


def write(path, *names):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(name)


class TestImageFolder:
    def test_exact_name_goes_first(self, tmp_path):
        write(tmp_path, "FCL/a.jpg", "Fcl/a.jpg")
        assert ImageFolder(tmp_path).find("Fcl/a.jpg", where="t").read_text() == "Fcl/a.jpg"

    def test_case_is_ignored_before_giving_up(self, tmp_path):
        write(tmp_path, "FCL/Fcl068.JPG")
        assert ImageFolder(tmp_path).find("FCl/Fcl068.jpg", where="t").read_text() == "FCL/Fcl068.JPG"

    def test_both_of_two_folders_that_differ_in_case_are_searched(self, tmp_path):
        write(tmp_path, "FCL/a.jpg", "FCl/b.jpg")
        folder = ImageFolder(tmp_path)
        assert folder.find("FCl/a.jpg", where="t").read_text() == "FCL/a.jpg"
        assert folder.find("FCL/b.jpg", where="t").read_text() == "FCl/b.jpg"

    @pytest.mark.parametrize("path", ["none.jpg", "none/a.jpg", "a.jpg/b.jpg", "", "."])
    def test_missing(self, tmp_path, path):
        write(tmp_path, "a.jpg")
        with pytest.raises(ImageNotFoundError, match="line 3: no file"):
            ImageFolder(tmp_path).find(path, where="line 3")

    @pytest.mark.parametrize(
        "path",
        [
            *("../a.jpg", "b/../../a.jpg", "/etc/passwd", "../../etc/passwd"),
            *("..\\a.jpg", "b\\..\\..\\a.jpg", "b/..\\../a.jpg", "\\a.jpg", "C:\\a.jpg"),
        ],
    )
    def test_paths_that_leave_the_folder(self, tmp_path, path):
        write(tmp_path, "a.jpg", "images/b/c.jpg")
        with pytest.raises(UnsafePathError, match=re.escape(f"line 3: path {path!r} leaves")):
            ImageFolder(tmp_path / "images").find(path, where="line 3")

    def test_backslashes_are_slashes(self, tmp_path):
        write(tmp_path, "b/c/d.jpg")
        assert ImageFolder(tmp_path).find("b\\c/d.jpg", where="t") == tmp_path / "b/c/d.jpg"

    def test_a_folder_is_no_image(self, tmp_path):
        write(tmp_path, "a.jpg/b.txt")
        with pytest.raises(ImageNotFoundError, match=r"line 3: no file 'a\.jpg'"):
            ImageFolder(tmp_path).find("a.jpg", where="line 3")

    @pytest.mark.parametrize("path", ["inside/a.jpg", "b.jpg"])
    def test_links_out_of_the_folder_are_refused(self, tmp_path, path):
        write(tmp_path, "outside/a.jpg")
        (tmp_path / "images").mkdir()
        (tmp_path / "images/inside").symlink_to(tmp_path / "outside")
        (tmp_path / "images/b.jpg").symlink_to(tmp_path / "outside/a.jpg")
        with pytest.raises(UnsafePathError, match=f"line 3: '{path}' is a link that leaves"):
            ImageFolder(tmp_path / "images").find(path, where="line 3")

    def test_the_folder_itself_may_be_a_link_and_hold_links_within(self, tmp_path):
        write(tmp_path, "disk/a.jpg")
        (tmp_path / "disk/b.jpg").symlink_to("a.jpg")
        (tmp_path / "images").symlink_to(tmp_path / "disk")
        for name in ("a.jpg", "b.jpg"):
            assert ImageFolder(tmp_path / "images").find(name, where="t").read_text() == "disk/a.jpg"

    def test_links_may_lead_where_the_user_says(self, tmp_path, monkeypatch):
        write(tmp_path, "archive/a.jpg", "secret/b.jpg")
        (tmp_path / "images").mkdir()
        for name in ("archive", "secret"):
            (tmp_path / "images" / name).symlink_to(tmp_path / name)
        monkeypatch.setenv(LINKS, f"{tmp_path / 'elsewhere'}:{tmp_path / 'archive'}")
        folder = ImageFolder(tmp_path / "images")
        assert folder.find("archive/a.jpg", where="t").read_text() == "archive/a.jpg"
        with pytest.raises(UnsafePathError, match=f"line 3: 'secret/b.jpg' is a link that leaves .* {LINKS}"):
            folder.find("secret/b.jpg", where="line 3")


class TestReadImage:
    def test_rgb_in_this_order(self, tmp_path, pixels):
        Image.fromarray(pixels).save(tmp_path / "a.png")
        assert np.array_equal(read_image(tmp_path / "a.png"), pixels)

    @pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
    def test_words_and_profiles_that_unpack_to_megabytes_are_refused(self, tmp_path, pixels, name):
        Image.fromarray(pixels).save(tmp_path / "a.png")
        start, packed = (tmp_path / "a.png").read_bytes(), zlib.compress(bytes(2**26), level=9)
        data = b"k\0\1\0\0\0" + packed if name == b"iTXt" else b"k\0\0" + packed
        chunk = struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        (tmp_path / "a.png").write_bytes(start[:33] + chunk + start[33:])
        with pytest.raises(UnreadableImageError, match=r"a.png: Decompressed data too large"):
            read_image(tmp_path / "a.png")

    @pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1"])
    def test_other_modes_become_rgb(self, tmp_path, pixels, mode):
        path = tmp_path / "a.tif"
        picture = Image.fromarray(pixels).convert(mode)
        picture.save(path)
        assert np.array_equal(read_image(path), np.asarray(picture.convert("RGB")))

    def test_orientation_is_ignored(self, tmp_path, pixels):
        exif = Image.Exif()
        exif[0x0112] = 6  # rotate by 90 degrees
        Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
        assert read_image(tmp_path / "a.jpg").shape == pixels.shape

    def test_16_bits_are_refused(self, tmp_path):
        Image.fromarray(np.zeros((4, 4), dtype=np.uint16)).save(tmp_path / "a.png")
        with pytest.raises(UnreadableImageError, match="not 8 bits a channel"):
            read_image(tmp_path / "a.png")

    def test_a_format_that_starts_a_program_is_no_picture(self, tmp_path, pixels):
        Image.fromarray(pixels).save(tmp_path / "a.eps")
        (tmp_path / "a.eps").rename(tmp_path / "a.jpg")
        with pytest.raises(UnreadableImageError, match=r"a\.jpg: not a picture"):
            read_image(tmp_path / "a.jpg")

    @pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp", "webp"])
    def test_usual_formats_are_read(self, tmp_path, pixels, suffix):
        Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
        assert read_image(tmp_path / f"a.{suffix}").shape == pixels.shape

    @pytest.mark.parametrize("progressive", [False, True])
    @pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
    def test_truncated_jpegs_are_refused_wherever_they_end(self, tmp_path, progressive, share):
        buffer = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
        Image.fromarray(noise).save(buffer, "JPEG", progressive=progressive)
        data = buffer.getvalue()
        (tmp_path / "a.jpg").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(UnreadableImageError, match=r"a\.jpg: .*; here names it; copy it anew") as caught:
            read_image(tmp_path / "a.jpg", where="here")
        assert "\n" not in str(caught.value)

    def test_large_files_and_pictures_are_refused_before_they_are_decoded(self, tmp_path, pixels):
        Image.fromarray(pixels).save(tmp_path / "a.png")
        with pytest.raises(UnreadableImageError, match="larger than 10 bytes"):
            read_image(tmp_path / "a.png", max_file_bytes=10)
        with pytest.raises(UnreadableImageError, match="20 x 12 is more than 239 pixels"):
            read_image(tmp_path / "a.png", max_pixels=239)
