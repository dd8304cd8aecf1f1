"""Tree ensembles as an ONNX graph in float64: exact splits, missing values and categories included.

skl2onnx writes tree ensembles in float32 (a value may fall on the other side of a split) and leaves out where missing
values go (a forest trained with them is silently wrong). Here the trees are read from treelite's own copy, which knows
scikit-learn, XGBoost and LightGBM, and written as ``TreeEnsemble`` of ai.onnx.ml 5, whose thresholds, inputs and sums
are float64, with the missing direction and the category set of each node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.serving.runtimes.heads import HeadSpec, Link

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SPLIT, _CATEGORIES = 1, 2
_MODES = {2: 1, 3: 0, 4: 3, 5: 2}  # treelite's operator (<, <=, >, >=) to ONNX's
MEMBER = 6
_POSTPROCESSORS: dict[str, Link] = {
    "identity": "value",
    "exponential": "exp",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
}


class NotConvertibleError(Exception):
    """The model has no compiled form here; the text says why. Caught where runtimes are tried."""


@dataclass(frozen=True, slots=True)
class Trees:
    """All trees of an ensemble, nodes side by side; children are positions in these arrays."""

    roots: Ints
    left: Ints
    right: Ints
    """-1 at leaves."""
    feature: Ints
    mode: Ints
    """ONNX comparison; the left child is where it is true (for categories: where ``members`` hold)."""
    threshold: Floats
    default_left: npt.NDArray[np.bool_]
    members: tuple[Floats, ...]
    """Category codes by node; empty at other nodes."""
    leaves: Floats
    """(nodes, width): a leaf's numbers, shrunk to one column where each tree has one target."""
    targets: Ints
    """By tree: the output column it adds to; -1: all of them."""
    features: int
    outputs: int
    link: Link
    base: tuple[float, ...]


def head_of(trees: Trees) -> HeadSpec:
    """How the sums become answers."""
    return HeadSpec(link=trees.link, base=trees.base if any(trees.base) else ())


def read_trees(model: Any, *, classes: int | None) -> Trees:
    """From a ``treelite.Model``; ``classes`` is None for regression.

    Raises:
        NotConvertibleError: several targets, or a link that is not among those known.
    """
    header = model.get_header_accessor()
    if int(header.get_field("num_target")[0]) != 1:
        raise NotConvertibleError("it predicts several targets")
    outputs = int(header.get_field("num_class")[0])
    link, averaged = (
        _link(str(header.get_field("postprocessor")), classes),
        bool(header.get_field("average_tree_output")[0]),
    )
    vectors = outputs > 1 and int(header.get_field("leaf_vector_shape")[1]) > 1
    parts = [_one_tree(model.get_tree_accessor(index), outputs if vectors else 1) for index in range(model.num_tree)]
    sizes = np.array([len(part["left"]) for part in parts])
    roots = np.concatenate(([0], np.cumsum(sizes)[:-1]))

    def joined(name: str) -> Any:
        return np.concatenate([part[name] for part in parts])

    shift = np.repeat(roots, sizes)
    left, right = joined("left"), joined("right")
    leaves = joined("leaves") / (model.num_tree if averaged else 1)
    targets = np.asarray(header.get_field("class_id"), dtype=np.int64)
    if link == "scores" and vectors and outputs == 2:  # a binary forest: the second class says it all
        leaves, outputs, link, vectors = leaves[:, 1:], 1, "complement", False
        targets = np.zeros(model.num_tree, dtype=np.int64)
    base = tuple(float(value) for value in np.atleast_1d(header.get_field("base_scores")))
    return Trees(
        roots=roots,
        left=np.where(left < 0, -1, left + shift),
        right=np.where(right < 0, -1, right + shift),
        feature=joined("feature"),
        mode=joined("mode"),
        threshold=joined("threshold"),
        default_left=joined("default_left"),
        members=tuple(codes for part in parts for codes in part["members"]),
        leaves=leaves,
        targets=np.full(model.num_tree, -1) if vectors else np.maximum(targets, 0),
        features=int(model.num_feature),
        outputs=outputs,
        link=link,
        base=base[:outputs] if any(base) else (),
    )


def _link(postprocessor: str, classes: int | None) -> Link:
    if postprocessor == "identity_multiclass":
        return "scores"
    if postprocessor == "identity" and classes is not None:
        return "complement"
    if postprocessor not in _POSTPROCESSORS:
        raise NotConvertibleError(f"its link '{postprocessor}' is not known here")
    return _POSTPROCESSORS[postprocessor]


def _one_tree(tree: Any, width: int) -> dict[str, Any]:
    """The fields of one tree; a node whose categories go right is turned round: the left child is the true one."""
    kind, left, right = (np.asarray(tree.get_field(name)).astype(np.int64) for name in ("node_type", "cleft", "cright"))
    default_left = np.asarray(tree.get_field("default_left")).astype(bool)
    turned = (kind == _CATEGORIES) & np.asarray(tree.get_field("category_list_right_child")).astype(bool)
    mode = np.zeros(len(kind), dtype=np.int64)
    for operator, onnx_mode in _MODES.items():
        mode[np.asarray(tree.get_field("cmp")) == operator] = onnx_mode
    mode[kind == _CATEGORIES] = MEMBER
    return {
        "left": np.where(turned, right, left),
        "right": np.where(turned, left, right),
        "default_left": default_left ^ turned,
        "feature": np.maximum(np.asarray(tree.get_field("split_index")).astype(np.int64), 0),
        "mode": mode,
        "threshold": np.asarray(tree.get_field("threshold")).astype(np.float64),
        "members": _members(tree, kind),
        "leaves": _leaves(tree, left, width),
    }


def _members(tree: Any, kind: Ints) -> list[Floats]:
    begin, end = tree.get_field("category_list_begin"), tree.get_field("category_list_end")
    codes = np.asarray(tree.get_field("category_list")).astype(np.float64)
    empty, none = np.empty(0), np.array([-1.0])  # -1 is no code: a node with an empty set is never true
    found = []
    for index, node in enumerate(kind):
        inside = codes[int(begin[index]) : int(end[index])] if node == _CATEGORIES else empty
        found.append(none if node == _CATEGORIES and not len(inside) else inside)
    return found


def _leaves(tree: Any, left: Ints, width: int) -> Floats:
    leaves = np.zeros((len(left), width))
    if width == 1:
        leaves[:, 0] = np.where(left < 0, np.asarray(tree.get_field("leaf_value")), 0.0)
        return leaves
    begin, vectors = np.asarray(tree.get_field("leaf_vector_begin")), np.asarray(tree.get_field("leaf_vector"))
    for index in np.flatnonzero(left < 0):
        start = int(begin[index])
        leaves[index] = vectors[start : start + width]
    return leaves


def trees_to_onnx(trees: Trees) -> bytes:
    """A graph from ``x`` (n, features) float64 to ``y`` (n, outputs) float64 (float32 where leaves are vectors)."""
    from onnx import TensorProto, helper

    vectors = bool((trees.targets < 0).any())
    node = _vector_node(trees, helper, TensorProto) if vectors else _scalar_node(trees, helper, TensorProto)
    kind = TensorProto.FLOAT if vectors else TensorProto.DOUBLE
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, trees.features])],
        [helper.make_tensor_value_info("y", kind, [None, trees.outputs])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3 if vectors else 5)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return content


def _scalar_node(trees: Trees, helper: Any, types: Any) -> Any:
    """``TreeEnsemble`` (ai.onnx.ml 5): one number per leaf."""
    split = np.flatnonzero(trees.left >= 0)
    lone = trees.roots[trees.left[trees.roots] < 0]  # a tree that is one leaf: a node whose branches are both that leaf
    nodes, leaf = np.concatenate((split, lone)), np.flatnonzero(trees.left < 0)
    node_at, leaf_at = _positions(nodes, len(trees.left)), _positions(leaf, len(trees.left))
    left = np.concatenate((trees.left[split], lone))
    right = np.concatenate((trees.right[split], lone))
    mode = np.where(trees.left[nodes] >= 0, trees.mode[nodes], 0)
    tree_of = np.searchsorted(trees.roots, leaf, side="right") - 1
    members = [np.append(trees.members[index], np.nan) for index in nodes[mode == MEMBER]]

    def child(of: Ints) -> list[int]:
        return [int(position) for position in np.where(trees.left[of] < 0, leaf_at[of], node_at[of])]

    attributes = {
        "n_targets": trees.outputs,
        "aggregate_function": 1,
        "post_transform": 0,
        "tree_roots": node_at[trees.roots].tolist(),
        "nodes_modes": _tensor(helper, types.UINT8, mode.astype(np.uint8)),
        "nodes_splits": _tensor(helper, types.DOUBLE, np.where(trees.left[nodes] >= 0, trees.threshold[nodes], 0.0)),
        "nodes_featureids": trees.feature[nodes].tolist(),
        "nodes_truenodeids": child(left),
        "nodes_falsenodeids": child(right),
        "nodes_trueleafs": (trees.left[left] < 0).astype(int).tolist(),
        "nodes_falseleafs": (trees.left[right] < 0).astype(int).tolist(),
        "nodes_missing_value_tracks_true": trees.default_left[nodes].astype(int).tolist(),
        "leaf_targetids": trees.targets[tree_of].tolist(),
        "leaf_weights": _tensor(helper, types.DOUBLE, trees.leaves[leaf, 0]),
    }
    if members:
        attributes["membership_values"] = _tensor(helper, types.DOUBLE, np.concatenate(members))
    return helper.make_node("TreeEnsemble", ["x"], ["y"], domain="ai.onnx.ml", **attributes)


def _vector_node(trees: Trees, helper: Any, types: Any) -> Any:
    """``TreeEnsembleRegressor`` (ai.onnx.ml 3): a vector per leaf, float64 inside; its output is always float32."""
    if (trees.mode == MEMBER).any():
        raise NotConvertibleError("its trees have both category sets and a vector in each leaf")
    names = np.array(["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])
    inner = trees.left >= 0
    sizes = np.diff(np.append(trees.roots, len(trees.left)))
    tree_of = np.repeat(np.arange(len(trees.roots)), sizes)
    first = trees.roots[tree_of]
    leaf = np.repeat(np.flatnonzero(~inner), trees.outputs)
    attributes = {
        "n_targets": trees.outputs,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": tree_of.tolist(),
        "nodes_nodeids": (np.arange(len(first)) - first).tolist(),
        "nodes_featureids": np.where(inner, trees.feature, 0).tolist(),
        "nodes_modes": np.where(inner, names[trees.mode], "LEAF").tolist(),
        "nodes_values_as_tensor": _tensor(helper, types.DOUBLE, np.where(inner, trees.threshold, 0.0)),
        "nodes_truenodeids": np.where(inner, trees.left - first, 0).tolist(),
        "nodes_falsenodeids": np.where(inner, trees.right - first, 0).tolist(),
        "nodes_missing_value_tracks_true": (trees.default_left & inner).astype(int).tolist(),
        "target_treeids": tree_of[leaf].tolist(),
        "target_nodeids": (leaf - first[leaf]).tolist(),
        "target_ids": np.tile(np.arange(trees.outputs), int((~inner).sum())).tolist(),
        "target_weights_as_tensor": _tensor(helper, types.DOUBLE, trees.leaves[~inner].ravel()),
    }
    return helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)


def _positions(chosen: Ints, size: int) -> Ints:
    at = np.full(size, -1, dtype=np.int64)
    at[chosen] = np.arange(len(chosen))
    return at


def _tensor(helper: Any, kind: int, values: npt.NDArray[Any]) -> Any:
    return helper.make_tensor("t", kind, [len(values)], values.tobytes(), raw=True)
