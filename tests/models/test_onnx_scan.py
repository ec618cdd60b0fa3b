"""References out of an ONNX file are found wherever they hide, and no bytes break the search."""

from __future__ import annotations

import contextlib

import model_builders as build
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from monitor.models.onnx_scan import Malformed, scan

MODEL = build.linear()


def outside(name: str) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def branch(name: str, constant: onnx.TensorProto) -> onnx.GraphProto:
    made = helper.make_node("Constant", [], [f"{name}_out"], value=constant)
    return helper.make_graph([made], name, [], [helper.make_tensor_value_info(f"{name}_out", 1, [1])])


def test_external_data_in_a_constant_of_a_branch_is_found() -> None:
    inside = onnx.numpy_helper.from_array(build.np.ones(1, "f4"), "inside")
    choice = helper.make_node(
        "If", ["x"], ["y"], then_branch=branch("then", outside("hidden")), else_branch=branch("else", inside)
    )
    found = scan(build.graph_bytes([choice]))
    assert found.external == ["hidden"]
    assert found.operators == {("", "If"), ("", "Constant")}


def test_external_data_in_a_sparse_initializer_or_function_is_found() -> None:
    model = onnx.load_from_string(MODEL)
    model.graph.sparse_initializer.add().values.CopyFrom(outside("sparse"))
    constant = helper.make_node("Constant", [], ["out"], value=outside("in function"))
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("local", "f", [], ["out"], [constant], opset))
    found = scan(model.SerializeToString())
    assert found.external == ["sparse", "in function"]
    assert found.functions == {"local"}


def test_a_location_alone_makes_data_external() -> None:
    model = onnx.load_from_string(MODEL)
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    assert scan(model.SerializeToString()).external == ["w"]


def test_whole_model_refers_to_nothing() -> None:
    found = scan(MODEL)
    assert (found.external, found.operators) == ([], {("", "MatMul")})


def test_graphs_nested_without_end_are_refused() -> None:
    graph = b""
    for _ in range(3000):
        attribute = b"\x32" + varint(len(graph)) + graph
        inner = b"\x2a" + varint(len(attribute)) + attribute
        graph = b"\x0a" + varint(len(inner)) + inner
    with pytest.raises(Malformed, match="nested"):
        scan(b"\x3a" + varint(len(graph)) + graph)


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@given(st.binary(max_size=200))
def test_no_bytes_break_the_scan(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        scan(data)


@given(st.integers(0, len(MODEL) - 1), st.integers(0, 255))
def test_no_altered_model_breaks_the_scan(at: int, byte: int) -> None:
    for data in (MODEL[:at], MODEL[:at] + bytes([byte]) + MODEL[at + 1 :]):
        with contextlib.suppress(Malformed):
            scan(data)
