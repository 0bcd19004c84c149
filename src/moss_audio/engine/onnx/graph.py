"""Builds an ONNX graph node by node; values are referred to by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from moss_audio.engine.onnx import proto

MICROSOFT = "com.microsoft"  # domain of ONNX Runtime's own operators


class Graph:
    """An ONNX graph in the making. What makes a value returns its name.

    Attributes:
        given: tensors that are handed to the session beside the graph, by name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.given: dict[str, np.ndarray] = {}
        self._nodes: list[bytes] = []
        self._tensors: dict[str, bytes] = {}
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._counts: Counter[str] = Counter()

    def input(self, name: str, dtype: str, shape: Sequence[proto.Dim]) -> str:
        """An input. A dimension is a number, or a name where only a run knows it."""
        self._inputs.append(proto.value_info(name, dtype, shape))
        return name

    def output(self, value: str, dtype: str, shape: Sequence[proto.Dim]) -> None:
        """Give a value out of the graph, under the name that it has."""
        self._outputs.append(proto.value_info(value, dtype, shape))

    def op(
        self,
        op: str,
        *inputs: str,
        name: str | None = None,
        domain: str = "",
        **attributes: proto.Attribute,
    ) -> str:
        """A node with one result, called `name`. An input called "" is left out."""
        label = name or self._fresh(op)
        self.ops(op, inputs, [label], domain=domain, **attributes)
        return label

    def ops(
        self,
        op: str,
        inputs: Sequence[str],
        names: Sequence[str],
        *,
        domain: str = "",
        **attributes: proto.Attribute,
    ) -> None:
        """A node with several results, called `names`."""
        label = self._fresh(f"{op}_node")
        self._nodes.append(
            proto.node(op, inputs, names, name=label, domain=domain, attributes=attributes)
        )

    def constant(self, array: np.ndarray, name: str | None = None) -> str:
        """A small tensor in the graph itself; one with a name is stored once."""
        label = name or self._fresh("constant")
        if label not in self._tensors:
            self._tensors[label] = proto.tensor(label, array)
        return label

    def give(self, name: str, array: np.ndarray) -> str:
        """A tensor that the session takes from memory, without a copy in the graph."""
        if name not in self._tensors:
            self.given[name] = np.ascontiguousarray(array)
            self._tensors[name] = proto.stored_tensor(
                name, array.dtype, array.shape, "given", 0, array.nbytes
            )
        return name

    def model(self) -> bytes:
        """The whole graph as the bytes of a `ModelProto`."""
        return proto.model(
            self.name,
            nodes=self._nodes,
            tensors=self._tensors.values(),
            inputs=self._inputs,
            outputs=self._outputs,
        )

    def _fresh(self, stem: str) -> str:
        self._counts[stem] += 1
        return f"{stem}_{self._counts[stem]}"
