"""A network is rewritten for speed: batch norm, activations and sums become part of the convolutions before.

What the network does to pictures of one shape is recorded as a graph of elementary operations, so that any
network will do, whatever its Python code looks like. Convolutions with what follows them are then one call of
oneDNN, with weights in the layout that it likes best.
"""

import operator
import warnings

import torch
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

_aten = torch.ops.aten
_BATCH_NORMS = (_aten._native_batch_norm_legit_no_training.default, _aten.native_batch_norm.default)
_ACTIVATIONS = {
    _aten.relu.default: "relu",
    _aten.hardtanh.default: "hardtanh",
    _aten.silu.default: "swish",
    _aten.hardswish.default: "hardswish",
    _aten.sigmoid.default: "sigmoid",
}
_SAME = 1e-3  # relative error that rounding in another order may cause


def fuse(function, example):
    """Rewrite a function of one tensor for tensors of one shape on the processor.

    Parameters
    ----------
    function : callable
        Maps a tensor to a list of tensors; the weights that it uses must not change any more.
    example : torch.Tensor
        Has the shape, dtype and layout of all tensors to come.

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
            if torch.backends.mkldnn.is_available():
                _fuse_convolutions(graph)
            graph.graph.eliminate_dead_code()
            graph.recompile()
            graph.delete_all_unused_submodules()
            is_same = _gives_the_same(graph, function, example)
    except Exception:  # tracing may raise almost anything on code that depends on what is in the picture
        return function
    return graph if is_same else function


def _gives_the_same(graph, function, example):
    found, expected = graph(example), function(example)
    return all(
        (a.float() - b.float()).norm() <= _SAME * b.float().norm()
        for a, b in zip(found, expected, strict=True)
    )


def _fold_batch_norms(graph):
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
        with graph.graph.inserting_before(convolution):
            weight = _without_denormals(weight * scale.view(-1, *[1] * (weight.ndim - 1)))
            folded = [_attach(graph, weight), _attach(graph, bias)]
        convolution.args = (convolution.args[0], *folded, *convolution.args[3:])
        for item in list(node.users):
            if item.target is operator.getitem and item.args[1] == 0:
                item.replace_all_uses_with(convolution)
                convolution.meta = item.meta
    graph.graph.eliminate_dead_code()


def _fuse_convolutions(graph):
    for node in list(graph.graph.nodes):
        if node.target is not _aten.convolution.default or len(node.args[3]) != 2 or node.args[6]:
            continue
        pictures, weight, bias, stride, padding, dilation, _, _, groups = node.args
        last, other = _sum_after(node)
        activation, numbers = None, []
        after = next(iter(last.users))
        if after.target in _ACTIVATIONS and _is_only_read_by(last, after):
            activation = _ACTIVATIONS[after.target]
            numbers = [float(each) for each in after.args[1:] or (-1, 1)] if activation == "hardtanh" else []
            last = after
        shape = list(pictures.meta["tensor_meta" if "val" not in pictures.meta else "val"].shape)
        geometry = [list(padding), list(stride), list(dilation), groups]
        packed = torch.ops.mkldnn._reorder_convolution_weight(_constant(graph, weight), *geometry, shape)
        pointwise = torch.ops.mkldnn._convolution_pointwise
        with graph.graph.inserting_before(last):
            arguments = (_attach(graph, packed), bias, *geometry)
            if other is None:
                new = graph.graph.call_function(
                    pointwise.default, (pictures, *arguments, activation or "none", numbers, "")
                )
            else:
                new = graph.graph.call_function(
                    pointwise.binary, (pictures, other, *arguments, "add", 1.0, activation, numbers, "")
                )
        new.meta = last.meta
        last.replace_all_uses_with(new)
        graph.graph.eliminate_dead_code()


def _sum_after(node):
    """Return the sum of a convolution and a map of its shape, with the map; or the convolution and None."""
    total = next(iter(node.users))
    if total.target is _aten.add.Tensor and not total.kwargs and _is_only_read_by(node, total):
        others = [each for each in total.args if each is not node]
        if len(others) == 1 and isinstance(others[0], torch.fx.Node) and _shape(others[0]) == _shape(node):
            return total, others[0]
    return node, None


def _without_denormals(tensor):
    """Make zero of what is next to zero: dead channels, which decay has left there, slow processors down."""
    return torch.where(tensor.abs() < 1e-30, 0, tensor)


def _is_only_read_by(node, reader):
    return isinstance(node, torch.fx.Node) and list(node.users) == [reader]


def _shape(node):
    value = node.meta.get("val", node.meta.get("tensor_meta"))
    return getattr(value, "shape", None)


def _constant(graph, node):
    """Return the tensor that a node stands for, in single precision; None if there is none."""
    if node is None:
        return None
    while node.target is _aten._to_copy.default:  # autocast
        node = node.args[0]
    if node.op != "get_attr":
        raise ValueError(f"{node} is computed from the picture")
    return operator.attrgetter(node.target)(graph).detach().float()


def _attach(graph, tensor):
    """Keep a tensor in the graph, and insert the node that stands for it."""
    name = f"fused{sum(each.startswith('fused') for each in vars(graph)) + len(graph._buffers)}"
    graph.register_buffer(name, tensor)
    return graph.graph.get_attr(name)
