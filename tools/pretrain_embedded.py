#!/usr/bin/python3
"""Pre-trains the small int8 network of profiles/models/fmnist-mbv2.

The network is a MobileNetV2-style CNN for 28x28 grey images. It is trained on
some of the Fashion-MNIST classes only, so that the remaining classes are a
realistic adaptation task: learning them with a fresh linear head on the frozen
features leaves clear room below training parts of the body as well.

Steps, all deterministic for one seed (one thread, fixed seeds):

 1. train in float, with batch normalisation (SGD, one-cycle learning rate);
 2. fold batch normalisation into the convolutions;
 3. quantise to int8 after training: ranges from training images, weights
    symmetric per output channel, ReLU6 as the saturation of its output;
 4. write <out>/fmnist-mbv2.onnx: a QDQ graph, opset 13;
 5. read that file back, run it with a small numpy evaluator of the ONNX
    operators it uses, and measure its accuracy;
 6. measure the room for adaptation to the other classes, in float;
 7. write <out>/README.md with the figures.

Needs python3-torch, python3-onnx, python3-numpy and dataset-fashion-mnist.
"""

import argparse
import copy
import dataclasses
import gzip
import math
import pathlib

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import nn

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
MODEL_NAME = "fmnist-mbv2"
CLASS_NAMES = ("T-shirt", "trouser", "pullover", "dress", "coat",
               "sandal", "shirt", "sneaker", "bag", "ankle boot")

# Pre-training defaults. Labels are the positions in the list of classes.
PRETRAIN_CLASSES = (1, 5, 7, 8, 9)
EPOCHS = 6
SEED = 0
BATCH = 128
LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4

# Architecture: stem, then blocks of (expanded channels, output channels,
# depthwise kernel, depthwise stride). A block that does not expand has no
# first pointwise conv; one that keeps its shape has a residual add.
IMAGE_SIZE = 28
STEM_CHANNELS = 16
BLOCKS = (
    (16, 8, 3, 1),
    (48, 16, 3, 2),
    (96, 16, 3, 1),
    (96, 48, 5, 2),
    (240, 48, 3, 1),
    (288, 96, 3, 1),
)

# Quantisation.
INPUT_SCALE = 1 / 255          # q = p - 128 for a pixel p, real value p / 255
INPUT_ZERO_POINT = -128
RELU6_ZERO_POINT = -128
CALIBRATION_IMAGES = 2000
MIN_CHANNEL_RANGE = 1e-3       # smallest weight range of a channel, relative
                               # to the conv's largest: dead channels get a
                               # scale that overflows neither bias nor gradient
MAX_ACCURACY_DROP = 0.5        # points, float to int8
MAX_FILE_BYTES = 200_000

# Adaptation check: plain SGD with cosine learning rate on the other classes.
ADAPT_TRAIN_IMAGES = 2000
ADAPT_TEST_IMAGES = 2000
ADAPT_EPOCHS = 8
ADAPT_LONG_EPOCHS = 60         # for the head alone, which converges slowly
ADAPT_BATCH = 32
ADAPT_RATES = (0.03, 0.1, 0.2, 0.5, 2.0)


# ---------------------------------------------------------------- data

def read_idx(path):
    """Array of unsigned bytes stored in a gzipped IDX file."""
    if not path.exists():
        raise SystemExit(f"{path} is missing: install dataset-fashion-mnist or give --data")
    with gzip.open(path) as stream:
        data = stream.read()
    if data[:3] != b"\0\0\x08":
        raise SystemExit(f"{path}: not an IDX file of unsigned bytes")
    rank = data[3]
    shape = np.frombuffer(data, ">u4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


class Split:
    """The training or the test part of the data set."""

    def __init__(self, folder, prefix):
        self.pixels = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")[:, None]
        self.labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")

    def select(self, classes, count=None):
        """Images (float, p / 255) and labels 0.. of some classes, in file order.

        With a count, the first count / len(classes) images of every class.
        """
        each = None if count is None else count // len(classes)
        rows = np.sort(np.concatenate(
            [np.flatnonzero(self.labels == c)[:each] for c in classes]))
        label_of = np.zeros(256, np.int64)
        label_of[list(classes)] = np.arange(len(classes))
        images = self.pixels[rows].astype(np.float32) / np.float32(255)
        return torch.from_numpy(images), torch.from_numpy(label_of[self.labels[rows]])


# ---------------------------------------------------------------- network

@dataclasses.dataclass(frozen=True)
class ConvSpec:
    """One convolution of the network, in execution order."""
    index: int
    role: str                  # stem, pw1, dw, pw2 or head
    kernel: int
    stride: int
    cin: int
    cout: int
    hin: int
    block: int                 # -1 for the stem and the classifier
    opens_block: bool          # its input is also the block's shortcut
    residual: bool             # its output is added to the block's shortcut

    @property
    def name(self):
        return f"conv{self.index:02d}"

    @property
    def add_name(self):
        return f"block{self.block:02d}_add"

    @property
    def output_name(self):
        """The tensor the next conv reads."""
        return self.add_name if self.residual else self.name

    @property
    def groups(self):
        return self.cin if self.role == "dw" else 1

    @property
    def relu6(self):
        return self.role in ("stem", "pw1", "dw")

    @property
    def hout(self):
        return (self.hin - 1) // self.stride + 1

    @property
    def weights(self):
        return self.cout * self.cin // self.groups * self.kernel ** 2

    @property
    def macs(self):
        return self.weights * self.hout ** 2


def build_specs(class_count):
    """The convolutions of the whole network; the last one is the classifier."""
    specs = []

    def add(role, kernel, stride, cout, block=-1, opens_block=False, residual=False):
        cin, hin = (specs[-1].cout, specs[-1].hout) if specs else (1, IMAGE_SIZE)
        if role == "head":
            hin = 1                            # after global average pooling
        specs.append(ConvSpec(len(specs), role, kernel, stride, cin, cout, hin,
                              block, opens_block, residual))

    add("stem", 3, 2, STEM_CHANNELS)
    for block, (expanded, cout, kernel, stride) in enumerate(BLOCKS):
        cin = specs[-1].cout
        expands = expanded != cin
        if expands:
            add("pw1", 1, 1, expanded, block, opens_block=True)
        add("dw", kernel, stride, expanded, block, opens_block=not expands)
        add("pw2", 1, 1, cout, block, residual=stride == 1 and cin == cout)
    add("head", 1, 1, class_count)
    return specs


class Network(nn.Module):
    """The float network described by a list of ConvSpec."""

    def __init__(self, specs):
        super().__init__()
        self.specs = specs
        self.convs = nn.ModuleList(
            nn.Conv2d(s.cin, s.cout, s.kernel, s.stride, s.kernel // 2,
                      groups=s.groups, bias=s.role == "head") for s in specs)
        self.norms = nn.ModuleList(
            nn.Identity() if s.role == "head" else nn.BatchNorm2d(s.cout) for s in specs)

    def fold_batch_norm(self):
        """A copy of the network for inference, without batch normalisation."""
        folded = copy.deepcopy(self).eval()
        for i, norm in enumerate(folded.norms):
            if isinstance(norm, nn.BatchNorm2d):
                folded.convs[i] = torch.nn.utils.fuse_conv_bn_eval(folded.convs[i], norm)
                folded.norms[i] = nn.Identity()
        return folded

    def features(self, x, observe=lambda name, tensor: None):
        """Pooled features; `observe` sees the output of every conv and every add."""
        for spec, conv, norm in zip(self.specs[:-1], self.convs, self.norms):
            if spec.opens_block:
                shortcut = x
            x = norm(conv(x))
            if spec.relu6:
                x = F.relu6(x)
            observe(spec.name, x)
            if spec.residual:
                x = x + shortcut
                observe(spec.add_name, x)
        return x.mean((2, 3), keepdim=True)

    def classify(self, features):
        """Logits of pooled features."""
        return self.convs[-1](features).flatten(1)

    def forward(self, x):
        return self.classify(self.features(x))


def accuracy(predict, images, labels, batch=500):
    """Top-1 accuracy in percent of a function from images to logits."""
    hits = 0
    with torch.no_grad():
        for x, y in zip(images.split(batch), labels.split(batch)):
            hits += int((predict(x).argmax(1) == y).sum())
    return 100 * hits / len(labels)


def pretrain(specs, images, labels, epochs, seed):
    """Trains the network and returns it with batch normalisation folded."""
    torch.manual_seed(seed)
    network = Network(specs)
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, momentum=MOMENTUM,
                                nesterov=True, weight_decay=WEIGHT_DECAY)
    steps = len(labels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=epochs * steps, pct_start=0.2)
    network.train()
    for epoch in range(epochs):
        order = torch.randperm(len(labels))
        total = 0.0
        for rows in order[:steps * BATCH].split(BATCH):
            loss = F.cross_entropy(network(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: mean loss {total / steps:.4f}", flush=True)
    return network.fold_batch_norm()


# ---------------------------------------------------------------- quantisation

@dataclasses.dataclass(frozen=True)
class Quantisation:
    """Scale and zero point of an int8 tensor: real = (q - zero_point) * scale."""
    scale: np.float32
    zero_point: np.int8


def calibrate(network, images):
    """Quantisation of the input and of the output of every conv and add."""
    ranges = {}

    def observe(name, tensor):
        low, high = ranges.get(name, (0.0, 0.0))
        ranges[name] = min(low, tensor.min().item()), max(high, tensor.max().item())

    with torch.no_grad():
        for x in images.split(500):
            observe(network.specs[-1].name, network.classify(network.features(x, observe)))

    result = {"input": Quantisation(np.float32(INPUT_SCALE), np.int8(INPUT_ZERO_POINT))}
    relu6_names = {s.name for s in network.specs if s.relu6}
    for name, (low, high) in ranges.items():
        scale = np.float32((high - low) / 255)
        zero_point = RELU6_ZERO_POINT if name in relu6_names else round(-128 - low / scale)
        result[name] = Quantisation(scale, np.int8(zero_point))
    return result


@dataclasses.dataclass(frozen=True)
class IntConv:
    """Integer parameters of one conv."""
    weight: np.ndarray         # int8 [cout, cin / groups, k, k]
    weight_scale: np.ndarray   # float32 [cout]
    bias: np.ndarray           # int32 [cout]
    bias_scale: np.ndarray     # float32 [cout]


def quantise_conv(conv, input_scale):
    """Int8 weights, symmetric per output channel, and the int32 bias."""
    weight = conv.weight.detach().numpy().astype(np.float64)
    bias = conv.bias.detach().numpy().astype(np.float64)
    limit = np.abs(weight).max(axis=(1, 2, 3))
    limit = np.maximum(limit, MIN_CHANNEL_RANGE * limit.max())
    weight_scale = (limit / 127).astype(np.float32)
    bias_scale = np.float32(input_scale) * weight_scale
    int_weight = np.rint(weight / weight_scale[:, None, None, None])
    int_bias = np.rint(bias / bias_scale)
    if np.abs(int_bias).max() > np.iinfo(np.int32).max:
        raise SystemExit("a bias does not fit 32 bits")
    return IntConv(np.clip(int_weight, -127, 127).astype(np.int8), weight_scale,
                   int_bias.astype(np.int32), bias_scale)


# ---------------------------------------------------------------- ONNX file

class GraphWriter:
    """Collects the nodes and initializers of a QDQ graph."""

    def __init__(self):
        self.nodes = []
        self.initializers = []

    def constant(self, name, value):
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op, inputs, output, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def requantise(self, source, prefix, quantisation):
        """QuantizeLinear and DequantizeLinear around the int8 tensor <prefix>_q."""
        scale = self.constant(f"{prefix}_scale", quantisation.scale)
        zero_point = self.constant(f"{prefix}_zp", quantisation.zero_point)
        q = self.node("QuantizeLinear", [source, scale, zero_point],
                      f"{prefix}_q", f"{prefix}_QuantizeLinear")
        return self.node("DequantizeLinear", [q, scale, zero_point],
                         f"{prefix}_dq", f"{prefix}_DequantizeLinear")

    def conv(self, source, spec, params, quantisation):
        """One conv with its dequantised parameters and its int8 output."""
        name = spec.name
        weight_scale = self.constant(f"{name}_w_scale", params.weight_scale)
        weight_zp = self.constant(f"{name}_w_zp", np.zeros(spec.cout, np.int8))
        weight = self.constant(f"{name}_w", params.weight)
        bias_scale = self.constant(f"{name}_b_scale", params.bias_scale)
        bias = self.constant(f"{name}_b", params.bias)
        weight = self.node("DequantizeLinear", [weight, weight_scale, weight_zp],
                           f"{name}_w_dq", f"{name}_w_DequantizeLinear", axis=0)
        bias = self.node("DequantizeLinear", [bias, bias_scale],
                         f"{name}_b_dq", f"{name}_b_DequantizeLinear", axis=0)
        out = self.node("Conv", [source, weight, bias], f"{name}_f", name,
                        dilations=[1, 1], group=spec.groups,
                        kernel_shape=[spec.kernel] * 2, pads=[spec.kernel // 2] * 4,
                        strides=[spec.stride] * 2)
        return self.requantise(out, name, quantisation)


def build_onnx(specs, int_convs, quantisations, classes):
    """The quantised network as an ONNX model."""
    graph = GraphWriter()
    x = graph.requantise("input", "input", quantisations["input"])
    for spec, params in zip(specs, int_convs):
        if spec.role == "head":
            pooled = graph.node("GlobalAveragePool", [x], "pool_f", "pool")
            x = graph.requantise(pooled, "pool", quantisations[specs[-2].output_name])
        if spec.opens_block:
            shortcut = x
        x = graph.conv(x, spec, params, quantisations[spec.name])
        if spec.residual:
            added = graph.node("Add", [shortcut, x], f"{spec.add_name}_f", spec.add_name)
            x = graph.requantise(added, spec.add_name, quantisations[spec.add_name])
    graph.node("Flatten", [x], "logits", "flatten", axis=1)

    names = ", ".join(CLASS_NAMES[c] for c in classes)
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT,
                                          ["N", 1, IMAGE_SIZE, IMAGE_SIZE])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(classes)])
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, MODEL_NAME, [image], [logits], graph.initializers,
            doc_string=f"{MODEL_NAME}: int8 MobileNetV2-style model pre-trained on the "
                       f"Fashion-MNIST classes {names}, as QDQ"),
        producer_name="pretrain_embedded", ir_version=7,
        opset_imports=[helper.make_opsetid("", 13)])
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return model


class OnnxEvaluator:
    """Runs a QDQ graph in numpy, operator by operator, in double precision.

    Covers the operators build_onnx writes, with the meaning the ONNX standard
    gives them, and knows nothing of the network the file was made from.
    """

    def __init__(self, model):
        self.graph = model.graph
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}

    def __call__(self, images):
        values = dict(self.constants)
        values[self.graph.input[0].name] = images.numpy().astype(np.float64)
        for node in self.graph.node:
            attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            inputs = [values[name] for name in node.input]
            values[node.output[0]] = getattr(self, node.op_type)(*inputs, **attributes)
        return torch.from_numpy(values[self.graph.output[0].name])

    @staticmethod
    def QuantizeLinear(x, scale, zero_point):
        return np.clip(np.rint(x / scale) + zero_point, -128, 127).astype(np.int8)

    @staticmethod
    def DequantizeLinear(q, scale, zero_point=0, axis=1):
        shape = [-1 if i == axis else 1 for i in range(q.ndim)]
        return (q.astype(np.float64) - np.reshape(zero_point, shape)) * np.reshape(scale, shape)

    @staticmethod
    def Conv(x, weight, bias, dilations, group, kernel_shape, pads, strides):
        if dilations != [1, 1] or group not in (1, x.shape[1]):
            raise ValueError("only dense and depthwise convs without dilation")
        top, left, bottom, right = pads
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel_shape, (2, 3))
        windows = windows[:, :, ::strides[0], ::strides[1]]
        if group == 1:
            y = np.tensordot(windows, weight, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
        else:
            y = np.einsum("nchwij,cij->nchw", windows, weight[:, 0])
        return y + bias[:, None, None]

    @staticmethod
    def Add(a, b):
        return a + b

    @staticmethod
    def GlobalAveragePool(x):
        return x.mean((2, 3), keepdims=True)

    @staticmethod
    def Flatten(x, axis):
        return x.reshape(math.prod(x.shape[:axis]), -1)


# ---------------------------------------------------------------- adaptation

@dataclasses.dataclass(frozen=True)
class Adaptation:
    """What one line of the adaptation check trains besides the head, and for how long."""
    name: str
    epochs: int
    all_biases: bool = False
    weights_from_block: int = len(BLOCKS)      # len(BLOCKS) for none

    @property
    def head_only(self):
        return not self.all_biases and self.weights_from_block == len(BLOCKS)


ADAPTATIONS = (
    Adaptation("head only", ADAPT_EPOCHS),
    Adaptation("head only", ADAPT_LONG_EPOCHS),
    Adaptation("head, all biases", ADAPT_EPOCHS, all_biases=True),
    Adaptation("head, all biases, weights of the last two blocks", ADAPT_EPOCHS,
               all_biases=True, weights_from_block=len(BLOCKS) - 2),
    Adaptation("everything", ADAPT_EPOCHS, all_biases=True, weights_from_block=-1),
)


def adapt(network, adaptation, rate, train, test, seed):
    """Test accuracy after training a fresh head and a part of the body."""
    torch.manual_seed(seed)
    network = copy.deepcopy(network)
    images, labels = train
    test_images, test_labels = test
    head = network.specs[-1]
    network.convs[-1] = nn.Conv2d(head.cin, int(labels.max()) + 1, 1)
    for spec, conv in zip(network.specs[:-1], network.convs):
        conv.weight.requires_grad_(spec.block >= adaptation.weights_from_block)
        conv.bias.requires_grad_(adaptation.all_biases)
    predict = network
    if adaptation.head_only:                   # the features never change
        with torch.no_grad():
            images, test_images = network.features(images), network.features(test_images)
        predict = network.classify

    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], rate)
    steps = adaptation.epochs * math.ceil(len(labels) / ADAPT_BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(adaptation.epochs):
        for rows in torch.randperm(len(labels)).split(ADAPT_BATCH):
            loss = F.cross_entropy(predict(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return accuracy(predict, test_images, test_labels)


def measure_adaptation(network, train, test, seed):
    """Test accuracies in percent, one for every rate, for every line of the check."""
    results = []
    for adaptation in ADAPTATIONS:
        results.append([adapt(network, adaptation, rate, train, test, seed)
                        for rate in ADAPT_RATES])
        print(f"adaptation, {adaptation.name}, {adaptation.epochs} epochs: "
              + " ".join(f"{a:.1f}" for a in results[-1]), flush=True)
    return results


# ---------------------------------------------------------------- report

def architecture_table(specs):
    """Markdown rows of the convs of the network."""
    rows = ["| conv | role | k | stride | cin | cout | hin | hout | MACs | weights |",
            "|---|---|---|---|---|---|---|---|---|---|"]
    for s in specs:
        role = s.role + (" +" if s.residual else "")
        rows.append(f"| {s.index} | {role} | {s.kernel} | {s.stride} | {s.cin} | {s.cout} "
                    f"| {s.hin} | {s.hout} | {s.macs} | {s.weights} |")
    rows.append(f"| sum | | | | | | | | {sum(s.macs for s in specs)} "
                f"| {sum(s.weights for s in specs)} |")
    return "\n".join(rows)


def adaptation_table(results):
    """Markdown rows of the adaptation check."""
    rows = ["| trained | epochs | " + " | ".join(f"rate {rate:g}" for rate in ADAPT_RATES) + " |",
            "|---" * (len(ADAPT_RATES) + 2) + "|"]
    for adaptation, figures in zip(ADAPTATIONS, results):
        rows.append(f"| {adaptation.name} | {adaptation.epochs} | "
                    + " | ".join(f"{a:.1f}" for a in figures) + " |")
    return "\n".join(rows)


README = """\
# {model_name}

A small MobileNetV2-style CNN for 28x28 grey images, int8, as an ONNX QDQ graph
(opset 13) of {file_bytes} bytes. It is pre-trained on {class_count} classes of Fashion-MNIST and
made to be adapted to the others.

This file and `fmnist-mbv2.onnx` are written by

    {command}

in about six minutes on one core (Debian: python3-torch, python3-onnx,
python3-numpy, dataset-fashion-mnist). The run is deterministic: on one machine
it writes the same bytes again.

## Interface

- Input `input`, float [N,1,28,28], the pixel p divided by 255. Its int8 form is
  q = p - 128 exactly (scale 1/255, zero point -128).
- Output `logits`, float [N,{class_count}], in this order: {class_names}.
- Tensors are named by conv: `convNN_w` (int8 weights, symmetric per output
  channel), `convNN_b` (int32), `convNN_q` (int8 output), `blockBB_add_q` (residual
  add), `pool_q` (pooled features), each with its `_scale` and `_zp`.
- Convs of the roles stem, pw1 and dw end in ReLU6. It is the saturation of their
  int8 output: zero point -128, and a scale that ends at the largest value seen in
  calibration, at most 6. The other convs are linear.

## Network

`+`: the output is added to the input of the block.

{architecture}

## How it is made

{epochs} epochs of SGD (batch {batch}, one-cycle rate up to {rate:g}, momentum {momentum:g}, weight
decay {decay:g}, seed {seed}) on all {train_count} training images of the classes, no
augmentation; batch normalisation folded; then quantised without further training,
with ranges from {calibration_count} of the training images.

Top-1 on the {test_count} test images of the same classes:

| | % |
|---|---|
| float | {float_accuracy:.2f} |
| int8, `fmnist-mbv2.onnx` as read back | {int8_accuracy:.2f} |

## Room for adaptation

Test top-1 in percent, at every learning rate tried, on the classes the network has
not seen ({adapt_names}). {adapt_train_count} training
images and {adapt_test_count} test images (the first of every class), a fresh head, plain SGD,
batch {adapt_batch}, cosine rate, float arithmetic, one seed. Around {adapt_chance:.0f} % is chance: the
rate is too high. The figures show what there is to gain; they are not results of
training on a device.

{adaptation}

## Licence of the data

Fashion-MNIST is by Zalando SE, under the MIT licence.
"""


# ---------------------------------------------------------------- main

def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Pre-train, quantise and write the network fmnist-mbv2.")
    parser.add_argument("--out", type=pathlib.Path,
                        default=REPOSITORY / "profiles" / "models" / MODEL_NAME,
                        help="folder to write (default: profiles/models/%s)" % MODEL_NAME)
    parser.add_argument("--data", type=pathlib.Path,
                        default=pathlib.Path("/usr/share/datasets/fashion-mnist"),
                        help="folder of the Fashion-MNIST IDX files (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS,
                        help="pre-training epochs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED,
                        help="seed of weights and data order (default: %(default)s)")
    parser.add_argument("--classes", type=lambda text: tuple(map(int, text.split(","))),
                        default=PRETRAIN_CLASSES, metavar="C,C,...",
                        help="Fashion-MNIST classes to pre-train on, labelled in this order "
                             "(default: %s)" % ",".join(map(str, PRETRAIN_CLASSES)))
    arguments = parser.parse_args()
    classes = arguments.classes
    if not set(classes) <= set(range(10)) or len(set(classes)) != len(classes) \
            or not 2 <= len(classes) <= 8:
        parser.error("--classes takes 2 to 8 different numbers from 0 to 9")
    if arguments.epochs < 1:
        parser.error("--epochs takes a positive number")
    return arguments


def command_line(arguments):
    """The command that repeats this run, without the folders."""
    words = ["tools/pretrain_embedded.py"]
    if arguments.epochs != EPOCHS:
        words.append(f"--epochs {arguments.epochs}")
    if arguments.seed != SEED:
        words.append(f"--seed {arguments.seed}")
    if arguments.classes != PRETRAIN_CLASSES:
        words.append("--classes " + ",".join(map(str, arguments.classes)))
    return " ".join(words)


def main():
    arguments = parse_arguments()
    classes = arguments.classes
    other_classes = tuple(c for c in range(10) if c not in classes)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    train = Split(arguments.data, "train")
    test = Split(arguments.data, "t10k")

    specs = build_specs(len(classes))
    train_images, train_labels = train.select(classes)
    test_images, test_labels = test.select(classes)
    network = pretrain(specs, train_images, train_labels, arguments.epochs, arguments.seed)
    float_accuracy = accuracy(network, test_images, test_labels)

    calibration_images, _ = train.select(classes, CALIBRATION_IMAGES)
    quantisations = calibrate(network, calibration_images)
    input_names = ["input"] + [spec.output_name for spec in specs[:-1]]
    int_convs = [quantise_conv(conv, quantisations[name].scale)
                 for conv, name in zip(network.convs, input_names)]
    model = build_onnx(specs, int_convs, quantisations, classes)
    arguments.out.mkdir(parents=True, exist_ok=True)
    model_path = arguments.out / "fmnist-mbv2.onnx"
    model_path.write_bytes(model.SerializeToString(deterministic=True))

    file_bytes = model_path.stat().st_size
    evaluator = OnnxEvaluator(onnx.load(model_path))
    int8_accuracy = accuracy(evaluator, test_images, test_labels)
    print(f"top-1 on the pre-training classes: float {float_accuracy:.2f} %, "
          f"int8 {int8_accuracy:.2f} %; {file_bytes} bytes", flush=True)
    if float_accuracy - int8_accuracy > MAX_ACCURACY_DROP:
        raise SystemExit(f"int8 loses more than {MAX_ACCURACY_DROP} points")
    if file_bytes > MAX_FILE_BYTES:
        raise SystemExit(f"the model is larger than {MAX_FILE_BYTES} bytes")

    adaptation = measure_adaptation(
        network, train.select(other_classes, ADAPT_TRAIN_IMAGES),
        test.select(other_classes, ADAPT_TEST_IMAGES), arguments.seed)

    (arguments.out / "README.md").write_text(README.format(
        model_name=MODEL_NAME, file_bytes=file_bytes, class_count=len(classes),
        command=command_line(arguments),
        class_names=", ".join(CLASS_NAMES[c] for c in classes),
        architecture=architecture_table(specs),
        epochs=arguments.epochs, batch=BATCH, rate=LEARNING_RATE, momentum=MOMENTUM,
        decay=WEIGHT_DECAY, seed=arguments.seed, train_count=len(train_labels),
        calibration_count=len(calibration_images), test_count=len(test_labels),
        float_accuracy=float_accuracy, int8_accuracy=int8_accuracy,
        adapt_names=", ".join(CLASS_NAMES[c] for c in other_classes),
        adapt_train_count=ADAPT_TRAIN_IMAGES, adapt_test_count=ADAPT_TEST_IMAGES,
        adapt_batch=ADAPT_BATCH, adapt_chance=100 / len(other_classes),
        adaptation=adaptation_table(adaptation)))


if __name__ == "__main__":
    main()
