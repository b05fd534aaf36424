import base64

import nibabel as nib
import numpy as np
import pytest

from ukb_brain.datasets.images import NiftiDataset, NiftiFolderDataset

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])


@pytest.fixture
def image():
    data = np.arange(7 * 8 * 9, dtype=np.float32).reshape(7, 8, 9)
    return nib.Nifti1Image(data, AFFINE)


def test_an_image_comes_back(tmp_path, image):
    dataset = NiftiDataset(filepath=str(tmp_path / "mean" / "t1.nii.gz"))
    assert not dataset.exists()
    dataset.save(image)
    assert dataset.exists()
    loaded = dataset.load()
    np.testing.assert_array_equal(loaded.get_fdata(), image.get_fdata())
    np.testing.assert_array_equal(loaded.affine, AFFINE)
    assert loaded.get_data_dtype() == np.float32
    assert [p.name for p in (tmp_path / "mean").iterdir()] == ["t1.nii.gz"]
    assert (tmp_path / "mean" / "t1.nii.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_a_full_disk_leaves_the_old_image(tmp_path, image, monkeypatch):
    path = tmp_path / "t1.nii.gz"
    dataset = NiftiDataset(filepath=str(path))
    dataset.save(image)
    before = path.read_bytes()

    def full(_, part):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib, "save", full)
    with pytest.raises(Exception, match="No space"):
        dataset.save(nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), np.eye(4)))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["t1.nii.gz"]


def test_the_preview_is_a_picture(tmp_path):
    dataset = NiftiDataset(filepath=str(tmp_path / "a.nii.gz"))
    dataset.save(nib.Nifti1Image(np.arange(504, dtype=np.float32).reshape(7, 8, 9), np.eye(4)))
    assert base64.b64decode(dataset.preview()).startswith(b"\x89PNG")


def test_images_by_name_are_a_file_each(tmp_path, image):
    folder = NiftiFolderDataset(path=str(tmp_path / "mean"))
    assert not folder.exists()
    # As of a grid without volumes.
    assert folder.load() == {}
    folder.save({"t1": image, "dwi": image})
    assert {p.name for p in (tmp_path / "mean").iterdir()} == {"t1.nii.gz", "dwi.nii.gz"}
    loaded = folder.load()["dwi"]()
    np.testing.assert_array_equal(loaded.get_fdata(), image.get_fdata())
    assert base64.b64decode(folder.preview()).startswith(b"\x89PNG")
