"""The version matrix: a fast part of the tests with the oldest and the newest versions that are supported."""

import nox

nox.options.default_venv_backend = "venv"

# What pyproject.toml asks for at least.
OLDEST = [
    "numpy==1.26.*",
    "scipy==1.11.*",
    "scikit-learn==1.6.*",
    "torch==2.4.*",
    "torchvision==0.19.*",
    "joblib==1.3.*",
    "pillow==10.1.*",
    "pandas==2.1.*",
    "matplotlib==3.8.*",
    "scikit-image==0.22.*",
    "polars==1.20.*",
]
MATRIX = {
    "oldest": OLDEST,
    "numpy1": ["numpy<2", "scikit-learn>=1.7"],
    "newest": ["numpy>=2", "scikit-learn>=1.9"],
}
# What of it can be tested beside the torch that is installed, whatever that is.
BESIDE_TORCH = [
    each
    for each in OLDEST
    if each.split("==")[0] in ("numpy", "scipy", "scikit-learn", "joblib", "pandas", "polars")
]
EXTRAS = "offline,text,plot,pandas"
TOOLS = ["pytest", "hypothesis", "numpydoc", "polars"]
FAST = [
    "tests/captions",
    "tests/mapping",
    "tests/evaluation/test_scorers.py",
    "tests/images/test_descriptor_whitener.py",
    "tests/search/test_image_index.py",
    "tests/test_contract.py",
    "tests/test_estimators.py",
    "tests/test_parameters.py",
    "tests/test_routing.py",
]


@nox.session
@nox.parametrize("versions", list(MATRIX))
def tests(session, versions):
    """Install the package beside these versions, and test it."""
    session.install(f".[{EXTRAS}]", *TOOLS, *MATRIX[versions])
    run_fast_tests(session)


@nox.session(venv_backend="none")
def oldest_beside_torch(session):
    """Test where nox runs, with the oldest libraries of arrays put before the installed ones."""
    folder = session.create_tmp()
    session.run("python", "-m", "pip", "install", "-q", "--upgrade", "-t", folder, *BESIDE_TORCH)
    run_fast_tests(session, env={"PYTHONPATH": folder})


def run_fast_tests(session, **options):
    """Run the fast part of the tests."""
    # Old libraries use what newer ones beneath them deprecate.
    command = ["python", "-m", "pytest", "-q", "-W", "ignore::DeprecationWarning"]
    session.run(*command, *FAST, *session.posargs, **options)
