"""ONNX files of bcreid beside its own features: onnx_check.py IMAGES (MODEL.onnx FEATURES.safetensors)...

Each model must pass ONNX's own checks, and ONNX Runtime and OpenVINO must find the features that `bcreid extract` found
for the PNG files in IMAGES, which are of the network's size."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
from PIL import Image
from safetensors.numpy import load_file

TOLERANCE = 1e-5
# What trackers subtract and divide by, after the division by 255.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
# In full precision: on processors with BF16 OpenVINO would round to it.
PRECISE = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}


def run(model, value):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (name,) = [i.name for i in session.get_inputs()]
    (features,) = session.run(None, {name: value})
    return features


def run_openvino(file, value):
    model = openvino.Core().compile_model(openvino.Core().read_model(file), "CPU", PRECISE)
    (output,) = model.outputs
    assert output.any_name == "features", output
    return model([value])[output]


def check(images, file, features):
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    ours = load_file(features)["features"]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    (output,) = inferred.graph.output
    assert output.type.tensor_type.shape.dim[1].dim_value == ours.shape[1]

    # Paths of a folder are in the order of their bytes.
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(Path(images).iterdir())])
    assert pixels.dtype == np.uint8 and pixels.shape[-1] == 3, pixels.shape
    if model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
        floats = pixels.astype(np.float32) / np.float32(255)
        facts = {fact.key: fact.value for fact in model.metadata_props}
        if facts["input_normalisation"] == "outside the graph":
            floats = (floats - MEAN) / DEVIATION
        pixels = np.ascontiguousarray(floats.transpose(0, 3, 1, 2))

    theirs = run(model, pixels)
    assert ours.shape == theirs.shape and theirs.dtype == np.float32, (ours.shape, theirs.shape)
    worst, spread = np.abs(ours - theirs).max(), ours.std(0).max()
    openvinos = np.abs(ours - run_openvino(file, pixels)).max()
    print(f"{Path(file).name}: {len(ours)} features of {ours.shape[1]} differ by at most {worst:.1e}, ", end="")
    print(f"from OpenVINO's by {openvinos:.1e}; between images they differ by {spread:.1e}")
    assert max(worst, openvinos) < TOLERANCE < spread / 10
    assert np.allclose(np.linalg.norm(theirs, axis=1), 1, atol=1e-5)
    one = run(model, pixels[2:3])
    assert np.abs(one - theirs[2:3]).max() < 1e-6, "an image by itself has another feature than in a batch"

    # A feature of zeros stays one: the end of the graph by itself.
    (length,) = (node for node in model.graph.node if node.name == "features.length")
    end = onnx.utils.Extractor(inferred).extract_model([length.input[0]], ["features"])
    rows = np.zeros((2, ours.shape[1]), np.float32)
    rows[1, 0] = 3
    assert np.array_equal(run(end, rows), np.sign(rows)), "rows of zeros do not stay so"


pairs = sys.argv[2:]
assert pairs
for model, features in zip(pairs[::2], pairs[1::2], strict=True):
    check(sys.argv[1], model, features)
