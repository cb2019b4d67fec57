"""
Find photographs that nobody captioned
======================================

Here are 18 photographs without a single caption. What can be found among them by
typing, in Spanish or in English?
"""

# %%
# Nothing has to be learned for a first answer. The image network knows what its 1,000
# classes look like, a multilingual sentence encoder knows what the names of the
# classes mean, and :meth:`~txt2img.TextImageSearch.from_class_names` puts both
# together.
from txt2img import TextImageSearch
from txt2img.datasets import load_sample_photographs

photos = load_sample_photographs().photos
search = TextImageSearch.from_class_names()
search.add(photos)
len(search)

# %%
# Ask. Several questions are given one answer each, the best photograph first.
questions = ["un gato", "una taza de café", "a rocket before take-off", "old coins"]
answers = search.query(questions, k=4)

# %%
# A contact sheet lays the answers out. The number below a photograph is its score.
from txt2img.evaluation import contact_sheet

contact_sheet(
    [
        (question, [(hit.id, f"{hit.score:.2f}", None) for hit in hits])
        for question, hits in zip(questions, answers)
    ]
)

# %%
# In a notebook hits are shown by themselves. This is the answer to a question in a
# language that no part of the search was told of:
search.query("eine Blume", k=3)

# %%
# What it is not sure of it gives low scores: there is no second cat, and after the
# first all scores are near to zero. And it knows what ImageNet has classes for. Coins
# are none of them, and *old coins* finds them late. Nor does it know who does what to
# whom. For that it needs captions to learn from, as on the :doc:`next page
# <plot_02_how_good>`.
