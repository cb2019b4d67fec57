import pickle

import numpy as np
import pytest
import torch
from conftest import mean_colour
from PIL import Image
from sklearn.base import clone
from sklearn.pipeline import FeatureUnion, make_pipeline

from txt2img import DescriptorWhitener, ImageFeaturizer
from txt2img.exceptions import UnreadablePhotographError
from txt2img.images import FailedPhotograph

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 0, 0], [255, 255, 255]])


@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_row_i_belongs_to_photograph_i(photograph_files, batch_size):
    featurizer = ImageFeaturizer(mean_colour, normalize=False, batch_size=batch_size)
    np.testing.assert_allclose(featurizer.fit_transform(photograph_files), COLOURS)
    np.testing.assert_allclose(featurizer.transform(photograph_files[::-1]), COLOURS[::-1])


def test_descriptors_have_length_one(photograph_files):
    found = ImageFeaturizer("efficientnet_lite0").fit_transform(photograph_files)
    assert found.dtype == np.float32
    assert found.shape == (6, 1280)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_descriptor_does_not_depend_on_batch_or_company(photograph_files):
    alone = ImageFeaturizer("efficientnet_lite0", batch_size=1).fit_transform(photograph_files[2:3])
    together = ImageFeaturizer("efficientnet_lite0").fit_transform(photograph_files)
    np.testing.assert_allclose(alone[0], together[2], atol=1e-5)


def test_torch_module_as_backbone_with_feature_maps_is_averaged(photograph_files):
    torch.manual_seed(0)
    module = torch.nn.Conv2d(3, 7, 3)
    found = ImageFeaturizer(module, normalize=False, precision="float32").fit(photograph_files)
    assert found.n_features_out_ == 7
    red = Image.new("RGB", (224, 224), "red")
    pixel = (np.array([1, 0, 0]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = module.weight.detach().numpy().sum((2, 3)) @ pixel + module.bias.detach().numpy()
    np.testing.assert_allclose(found.transform([red])[0], expected, rtol=1e-4)


def test_whole_framing_sees_what_the_centre_leaves_out():
    left_edge = np.full((100, 300, 3), 255, np.uint8)
    left_edge[:, :60] = 0
    mean = torch.nn.Identity()
    centre, whole = (
        ImageFeaturizer(mean, normalize=False, framing=framing).transform([left_edge])[0]
        for framing in ("center", "whole")
    )
    white = ImageFeaturizer(mean, normalize=False).transform([np.full((9, 9, 3), 255, np.uint8)])[0]
    np.testing.assert_allclose(centre, white, rtol=1e-5)
    assert (whole < white).all()


def test_fit_does_not_load_the_weights_and_pickles_are_small(photograph_files):
    featurizer = ImageFeaturizer("resnet152").fit(photograph_files)
    assert featurizer.n_features_out_ == 2048
    assert len(pickle.dumps(featurizer)) < 2000
    assert list(featurizer.get_feature_names_out()[:2]) == ["imagefeaturizer0", "imagefeaturizer1"]


def test_clone_and_parameters():
    featurizer = ImageFeaturizer("resnet50", batch_size=7)
    assert clone(featurizer).get_params() == featurizer.get_params()
    assert featurizer.set_params(batch_size=3).batch_size == 3


def test_side_by_side_and_in_a_pipeline(photograph_files):
    both = FeatureUnion([("a", ImageFeaturizer("efficientnet_lite0")), ("b", ImageFeaturizer(mean_colour))])
    found = make_pipeline(both, DescriptorWhitener(n_components=3)).fit_transform(photograph_files)
    assert found.shape == (6, 3)


def test_unreadable_photograph_stops_with_its_name(photograph_files, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no photograph")
    photos = [*photograph_files[:3], str(tmp_path / "bad.jpg")]
    with pytest.raises(UnreadablePhotographError, match=r"photos\[3\].*bad\.jpg.*on_error"):
        ImageFeaturizer(mean_colour, batch_size=2).fit_transform(photos)


def test_unreadable_photograph_leaves_a_row_of_nan_and_the_others_in_place(photograph_files, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no photograph")
    photos = [
        str(tmp_path / "bad.jpg"),
        *photograph_files[:3],
        str(tmp_path / "gone.jpg"),
        *photograph_files[3:],
    ]
    featurizer = ImageFeaturizer(mean_colour, normalize=False, batch_size=2, on_error="warn")
    with pytest.warns(UserWarning, match=r"2 of 8 photographs cannot be read.*bad\.jpg"):
        found = featurizer.transform(photos)
    assert np.isnan(found[[0, 4]]).all()
    np.testing.assert_allclose(found[[1, 2, 3, 5, 6, 7]], COLOURS)
    assert featurizer.failures_ == [
        FailedPhotograph(0, photos[0], featurizer.failures_[0].reason),
        FailedPhotograph(4, photos[4], "No such file or directory"),
    ]


def test_nothing_readable_is_an_error_even_when_warning_was_asked_for(tmp_path):
    with pytest.raises(UnreadablePhotographError, match="none of the 1 photographs"):
        ImageFeaturizer(mean_colour, on_error="warn").transform([str(tmp_path / "gone.jpg")])


@pytest.mark.parametrize(
    ("photos", "message"), [([], "photos is empty"), ("a.jpg", "one photograph or folder")]
)
def test_no_photographs_and_one_in_place_of_a_list(photos, message):
    with pytest.raises(ValueError, match=message):
        ImageFeaturizer(mean_colour).fit(photos)


def test_backbone_that_gives_the_wrong_number_of_rows(photograph_files):
    with pytest.raises(ValueError, match=r"backbone gave an array of shape \(1, 3\) for 6 photographs"):
        ImageFeaturizer(lambda images: np.zeros((1, 3))).transform(photograph_files)


@pytest.mark.parametrize(
    "parameters", [{"batch_size": 0}, {"framing": "left"}, {"on_error": "ignore"}, {"backbone": 3}]
)
def test_parameters_are_checked(photograph_files, parameters):
    with pytest.raises(ValueError, match=f"The {next(iter(parameters))!r} parameter"):
        ImageFeaturizer(**{"backbone": mean_colour, **parameters}).fit(photograph_files)


def test_progress_is_silent_unless_asked_for(photograph_files, capsys):
    ImageFeaturizer(mean_colour).transform(photograph_files)
    assert capsys.readouterr().err == ""
    ImageFeaturizer(mean_colour, verbose=1).transform(photograph_files)
    assert "6/6 photographs" in capsys.readouterr().err


def test_callback_hears_of_the_end(photograph_files, capsys):
    states = []
    ImageFeaturizer(mean_colour, callback=lambda *state: states.append(state)).transform(photograph_files)
    assert states[-1][:2] == (6, 6)
    assert capsys.readouterr().err == ""
