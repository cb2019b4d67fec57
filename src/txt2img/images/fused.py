"""A network is rewritten for speed: batch norm, activations and sums become part of the convolutions before.

What the network does to pictures of one shape is recorded as a graph of elementary operations, so that any
network will do, whatever its Python code looks like. Batch norms are folded into the weights. Of convolutions
with what follows them torch's fuser for oneDNN makes one kernel each, which is compiled once.
"""

import operator
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch.func import functionalize
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

TensorsFunction: TypeAlias = Callable[[torch.Tensor], list[torch.Tensor]]

_aten = torch.ops.aten
_BATCH_NORMS = (_aten._native_batch_norm_legit_no_training.default, _aten.native_batch_norm.default)
_RUNS_TO_COMPILE = 3


def fuse(function: TensorsFunction, example: torch.Tensor, tolerance: float = 1e-3) -> TensorsFunction:
    """Rewrite a function of one tensor for tensors of one shape on the processor.

    Parameters
    ----------
    function : callable
        Maps a tensor to a list of tensors; the weights that it uses must not change any more.
    example : torch.Tensor
        Has the shape, dtype and layout of all tensors to come.
    tolerance : float, default=1e-3
        Relative error that rounding in another order may cause.

    Returns
    -------
    callable
        Does the same as `function`, which is returned itself if it cannot be rewritten.
    """
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = make_fx(functionalize(function, remove="mutations"))(example)
            _fold_batch_norms(graph)
            _fold_padding(graph)
            _restore_linear_layers(graph)
            graph.graph.eliminate_dead_code()
            graph.recompile()
            graph.delete_all_unused_submodules()
            fused = _compile(graph, example)
            is_same = _is_near(fused(example), function(example), tolerance)
    except Exception:  # tracing may raise almost anything on code that depends on what is in the picture
        return function
    return fused if is_same else function


def _compile(graph: GraphModule, example: torch.Tensor) -> TensorsFunction:
    """Let torch compile the graph, which it does while it runs it the first times, if it can."""
    if not torch.backends.mkldnn.is_available():
        return graph
    before = torch.jit.onednn_fusion_enabled()
    torch.jit.enable_onednn_fusion(True)
    try:
        compiled = torch.jit.freeze(torch.jit.trace(graph.eval(), example, check_trace=False))
        for _ in range(_RUNS_TO_COMPILE):
            compiled(example)
        return compiled
    except RuntimeError:  # the fuser fails at some additions to a product of matrices
        return graph
    finally:
        torch.jit.enable_onednn_fusion(before)


def _is_near(found: list[torch.Tensor], expected: list[torch.Tensor], tolerance: float) -> bool:
    return all(
        (a.float() - b.float()).norm() <= tolerance * b.float().norm()
        for a, b in zip(found, expected, strict=True)
    )


def _fold_batch_norms(graph: GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if node.target not in _BATCH_NORMS or not _is_only_read_by(node.args[0], node):
            continue
        convolution = node.args[0]
        if convolution.target is not _aten.convolution.default or convolution.args[6]:
            continue
        weight, bias = (_constant(graph, each) for each in convolution.args[1:3])
        gain, shift, mean, variance = (_constant(graph, each) for each in node.args[1:5])
        scale = (variance + node.args[-1]).rsqrt()
        scale = scale if gain is None else scale * gain
        bias = (0 if bias is None else bias) - mean
        bias = bias * scale if shift is None else bias * scale + shift
        weight = _without_denormals(weight * scale.view(-1, *[1] * (weight.ndim - 1)))
        dtype = convolution.meta["val"].dtype
        with graph.graph.inserting_before(convolution):
            folded = [_attach(graph, each.to(dtype)) for each in (weight, bias)]
        convolution.args = (convolution.args[0], *folded, *convolution.args[3:])
        for item in list(node.users):
            if item.target is operator.getitem and item.args[1] == 0:
                item.replace_all_uses_with(convolution)


def _fold_padding(graph: GraphModule) -> None:
    """Let convolutions put zeros around a map themselves, where that is done for them alone."""
    for node in graph.graph.nodes:
        if node.target is not _aten.convolution.default or node.args[6]:
            continue
        padded = node.args[0]
        if padded.target is not _aten.constant_pad_nd.default or not _is_only_read_by(padded, node):
            continue
        maps, sides, *value = padded.args
        if len(sides) == 4 and sides[::2] == sides[1::2] and min(sides) >= 0 and not any(value):
            padding = [own + side for own, side in zip(node.args[4], reversed(sides[::2]))]
            node.args = (maps, *node.args[1:4], padding, *node.args[5:])


def _restore_linear_layers(graph: GraphModule) -> None:
    """Make linear layers again of products with a sum, of which torch's fuser knows nothing."""
    for node in list(graph.graph.nodes):
        if node.target is _aten.addmm.default and not node.kwargs and node.args[2].target is _aten.t.default:
            bias, vectors, transposed = node.args
            with graph.graph.inserting_before(node):
                linear = graph.graph.call_function(_aten.linear.default, (vectors, transposed.args[0], bias))
            node.replace_all_uses_with(linear)


def _without_denormals(tensor: torch.Tensor) -> torch.Tensor:
    """Make zero of what is next to zero: dead channels, which decay has left there, slow processors down."""
    return torch.where(tensor.abs() < 1e-30, 0, tensor)


def _is_only_read_by(node: Any, reader: Node) -> bool:
    return isinstance(node, torch.fx.Node) and list(node.users) == [reader]


def _constant(graph: GraphModule, node: Any) -> Any:
    """Return the tensor that a node stands for, in single precision; None if there is none."""
    if node is None:
        return None
    while node.target is _aten._to_copy.default:  # autocast
        node = node.args[0]
    if node.op != "get_attr":
        raise ValueError(f"{node} is computed from the picture")
    return operator.attrgetter(node.target)(graph).detach().float()


def _attach(graph: GraphModule, tensor: torch.Tensor) -> Node:
    """Keep a tensor in the graph, and insert the node that stands for it."""
    name = f"fused{sum(each.startswith('fused') for each in vars(graph)) + len(graph._buffers)}"
    graph.register_buffer(name, tensor)
    return graph.graph.get_attr(name)
