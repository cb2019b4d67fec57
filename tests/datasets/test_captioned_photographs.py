from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from txt2img.datasets import CaptionedPhotographs


@st.composite
def captioned(draw):
    """Photographs whose captions name them, so that a mix-up shows."""
    counts = draw(st.lists(st.integers(1, 4), max_size=12))
    photos = [f"p{i}.jpg" for i in range(len(counts))]
    captions = [[f"p{i}.jpg caption {j}" for j in range(count)] for i, count in enumerate(counts)]
    return CaptionedPhotographs(photos, captions)


def assert_aligned(data):
    for photo, captions in zip(data.photos, data.captions, strict=True):
        assert all(caption.startswith(f"{photo} ") for caption in captions)


@given(captioned())
def test_flat_says_which_photograph_each_caption_describes(data):
    sentences, photograph_of_caption = data.flat()
    assert photograph_of_caption.dtype == np.intp
    assert sentences == [caption for captions in data.captions for caption in captions]
    for sentence, position in zip(sentences, photograph_of_caption, strict=True):
        assert sentence in data.captions[position]


@given(captioned(), st.data())
def test_subset_keeps_captions_with_their_photograph(data, draw):
    indices = draw.draw(st.lists(st.integers(0, len(data) - 1), max_size=20) if len(data) else st.just([]))
    subset = data[indices]
    assert_aligned(subset)
    assert subset.photos == [data.photos[i] for i in indices]
    mask = np.array(draw.draw(st.lists(st.booleans(), min_size=len(data), max_size=len(data))), dtype=bool)
    assert data[mask] == data[np.flatnonzero(mask)]
    assert data[::-1][::-1] == data


def test_subset_refuses_what_is_not_a_list_of_photographs():
    data = CaptionedPhotographs(["a.jpg", "b.jpg"], [["a"], ["b"]])
    with pytest.raises(TypeError, match=r"index=1 .*slice"):
        data[1]
    with pytest.raises(IndexError):
        data[[2]]
    with pytest.raises(IndexError):
        data[np.array([True, False, True])]


@given(captioned(), captioned(), st.randoms())
def test_merge_joins_by_photograph_whatever_the_order(left, right, random):
    order = list(range(len(right)))
    random.shuffle(order)
    merged = left.merged_with(right[order])
    assert_aligned(merged)
    assert merged.photos[: len(left)] == left.photos
    assert set(merged.photos) == {*left.photos, *right.photos}
    own, others = dict(zip(left.photos, left.captions)), dict(zip(right.photos, right.captions))
    for photo, captions in zip(merged.photos, merged.captions):
        assert captions == own.get(photo, []) + others.get(photo, [])


def test_merge_leaves_both_as_they_were():
    english = CaptionedPhotographs(["a.jpg"], [["a cat"]])
    spanish = CaptionedPhotographs(["a.jpg"], [["un gato"]])
    assert english.merged_with(spanish).captions == [["a cat", "un gato"]]
    assert english.captions == [["a cat"]]
    assert spanish.captions == [["un gato"]]


def test_merge_refuses_a_photograph_that_occurs_twice():
    once = CaptionedPhotographs(["a.jpg"], [["a"]])
    twice = once[[0, 0]]
    with pytest.raises(ValueError, match=r"other has the photograph 'a\.jpg' more than once"):
        once.merged_with(twice)
    with pytest.raises(ValueError, match="self has the photograph"):
        twice.merged_with(once)


def test_paths_become_strings_and_the_callers_lists_are_not_shared():
    captions = [["a cat"]]
    data = CaptionedPhotographs((Path("a.jpg"),), captions)
    captions[0].append("changed")
    assert data.photos == ["a.jpg"]
    assert data.captions == [["a cat"]]
    assert repr(data) == "CaptionedPhotographs(1 photographs, 1 captions)"
    assert len(data) == 1


@pytest.mark.parametrize(
    ("photos", "captions", "error", "message"),
    [
        (["a.jpg"], [["a"], ["b"]], ValueError, "captions has 2 entries but there are 1 photos"),
        (["a.jpg"], [[]], ValueError, r"captions\[0\] is empty"),
        (["a.jpg"], ["a cat"], TypeError, r"captions\[0\]='a cat' is a string"),
        (["a.jpg"], [[3]], TypeError, r"captions\[0\] holds 3"),
        ([3], [["a"]], TypeError, r"photos\[0\]=3 is not a path"),
        ("a.jpg", [["a"]], TypeError, "photos='a.jpg' is a single path"),
    ],
)
def test_bad_input_is_named(photos, captions, error, message):
    with pytest.raises(error, match=message):
        CaptionedPhotographs(photos, captions)
