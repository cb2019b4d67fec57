"""Where the documentation lies, to which the diagrams of estimators link."""

DOCUMENTATION = "https://txt2img.readthedocs.io/en/stable"


class DocLinkMixin:
    """Links the diagram of an estimator to its page of the reference, as scikit-learn's own are."""

    _doc_link_module = "txt2img"
    _doc_link_template = DOCUMENTATION + "/generated/{page}.html"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        """Name the page: the shortest name by which the class is imported."""
        import txt2img

        cls = type(self)
        room = ".".join(cls.__module__.split(".")[:2])
        return {"page": f"{'txt2img' if cls.__name__ in txt2img.__all__ else room}.{cls.__name__}"}
