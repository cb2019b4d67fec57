"""scikit-learn's callbacks, such as its progress bar, from scikit-learn 1.9 on; before, nothing is told."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from inspect import signature
from typing import Any, TypeVar

__all__ = ["CallbackSupportMixin", "Steps", "one_task", "what_is_told"]

Method = TypeVar("Method", bound=Callable[..., Any])

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ModuleNotFoundError:

    class _SilentTask:
        def call_on_fit_task_begin(self, **known: Any) -> "_SilentTask":
            return self

        def call_on_fit_task_end(self, **known: Any) -> bool:
            return False

        def subcontext(self, **settings: Any) -> "_SilentTask":
            return self

        def propagate_callback_context(self, part: Any) -> AbstractContextManager[None]:
            return nullcontext()

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """In place of scikit-learn's: estimators take no callbacks."""

        def _init_callback_context(self, **settings: Any) -> _SilentTask:
            return _SilentTask()

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Leave a method as it is."""
        return method


def one_task(fit: Method) -> Method:
    """Tell the callbacks of an estimator when a fit without sub-tasks begins and ends.

    Parameters
    ----------
    fit : callable
        A method that takes the estimator, the data and the targets, and then anything.

    Returns
    -------
    callable
        The method, to be taken in its place.
    """
    parameters = signature(fit)

    @wraps(fit)
    def told(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(estimator, "_skl_callbacks"):
            return fit(estimator, *args, **kwargs)
        given = parameters.bind(estimator, *args, **kwargs)
        given.apply_defaults()
        _, X, y, *_ = given.arguments.values()
        task = estimator._init_callback_context().call_on_fit_task_begin(estimator=estimator, X=X, y=y)
        result = fit(estimator, *args, **kwargs)
        task.call_on_fit_task_end(estimator=estimator, X=X, y=y, reconstruction_attributes={})
        return result

    return with_callbacks(told)


def what_is_told(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Give what the callbacks of an estimator are told of the data that it is fitted to."""
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return {"estimator": estimator, "X": X, "y": y, "metadata": metadata}


class Steps:
    """Sub-tasks of a task, told one after another as the work goes on.

    Parameters
    ----------
    estimator : estimator
        Whose callbacks are told.
    task : sklearn.callback.CallbackContext
        Of which they are parts.
    name : str
        What one is called.
    size, total : int
        Items in one, and in all.
    """

    def __init__(self, estimator: Any, task: Any, name: str, *, size: int, total: int) -> None:
        self.estimator = estimator
        self.task = task
        self.name = name
        self.ends = [*range(size, total, size), total]
        self._begin()

    def show(self, done: int) -> None:
        """End the sub-tasks whose items are done, and begin the next if there is one."""
        while self.ends and self.ends[0] <= done:
            self.ends.pop(0)
            self.current.call_on_fit_task_end(estimator=self.estimator)
            if self.ends:
                self._begin()

    def _begin(self) -> None:
        self.current = self.task.subcontext(task_name=self.name)
        self.current.call_on_fit_task_begin(estimator=self.estimator)
