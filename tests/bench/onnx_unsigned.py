#!/usr/bin/env python3
"""Writes the form of a QDQ model that ONNX Runtime runs fastest: the same network with unsigned
activations (zero points plus 128), whose input is integers, channels last, so that nothing is left
to quantise or to transpose. Fails where the activations are not int8.

  onnx_unsigned.py MODEL.onnx OUT.onnx
"""

import sys

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper


def convert(model):
    graph = model.graph
    constant = {i.name: i for i in graph.initializer}
    zeros = set()
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] not in constant:
            zeros.add(node.input[2])
    for name in zeros:
        value = onnx.numpy_helper.to_array(constant[name])
        if value.dtype != np.int8:
            sys.exit(f"onnx_unsigned.py: {name} is {value.dtype}, not int8")
        constant[name].CopyFrom(onnx.numpy_helper.from_array(
            (value.astype(np.int16) + 128).astype(np.uint8), name))
    given = graph.input[0]
    first = next(n for n in graph.node if n.input[0] == given.name)
    batch, *shape = given.type.tensor_type.shape.dim
    channels, height, width = (d.dim_value for d in shape)
    transpose = onnx.helper.make_node("Transpose", ["input_integers"], [first.output[0]],
                                      perm=[0, 3, 1, 2])
    kept = [transpose] + [n for n in graph.node if n is not first]
    del graph.node[:]
    graph.node.extend(kept)
    del graph.input[:]
    graph.input.append(onnx.helper.make_tensor_value_info(
        "input_integers", onnx.TensorProto.UINT8,
        [batch.dim_param or batch.dim_value, height, width, channels]))
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    onnx.save(convert(onnx.load(sys.argv[1])), sys.argv[2])
