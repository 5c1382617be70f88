#!/usr/bin/env python3
"""The trainings of espalier_bench in PyTorch, for comparison.

Reads the folder that `espalier_bench --dump` wrote and the same ONNX file, and measures
  (a) the whole network forward, (b) a training step of everything, (c) a training step of the
  published 100 KB plan from a cached prefix, (d) the slice of the contribution analysis, three
  times: as the published code does it, forward and backward through the whole network at every step;
  with the backward pass ending at the shallowest trained conv; and also from cached prefixes.
The arithmetic is the published simulation: integers held in fp32, fp32 master parameters rounded
half to even in the forward pass, straight-through gradients with clamp masks, quantisation-aware
scaling, plain SGD. Gradients are computed only down to the shallowest trained conv, and weight
gradients only of trained convs. Needs Debian's python3-torch, python3-onnx and python3-numpy.
"""

import argparse
import json
import os
import pathlib
import sys
import time

try:
    import numpy as np
    import onnx
    import onnx.numpy_helper
    import torch
    import torch.nn.functional as F
except ImportError as error:
    sys.exit(f"pytorch_bench.py: {error}; install python3-torch, python3-onnx and python3-numpy")

# What Espalier's kDivergedWeight and kDivergedLoss stop at: such trainings end early there, and
# must here too, or they would be compared with more work.
DIVERGED_WEIGHT = 16384.0
DIVERGED_LOSS = 1e4


class Round(torch.autograd.Function):
    """Half to even, gradient passed straight through."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Requantize(torch.autograd.Function):
    """clamp(round(acc * factor) + zero), with the mask of what the clamp left alone."""

    @staticmethod
    def forward(ctx, acc, factor, zero):
        p = torch.round(acc * factor).add_(zero)
        y = p.clamp(-128, 127)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(p == y, factor)
        return y

    @staticmethod
    def backward(ctx, gradient):
        mask, factor = ctx.saved_tensors
        return gradient * mask * factor, None, None


class Conv:
    """One quantised convolution; weight and bias hold integers in fp32."""

    def __init__(self, node, scales, zeros, values, layout):
        x, w, b = node.input
        attributes = {a.name: list(a.ints) or a.i for a in node.attribute}
        pads = attributes.get("pads", [0, 0, 0, 0])
        assert pads[0] == pads[2] and pads[1] == pads[3]
        self.padding = (pads[0], pads[1])
        self.stride = tuple(attributes.get("strides", [1, 1]))
        self.groups = attributes.get("group", 1)
        self.input_zero = float(zeros[x])
        self.input_scale = float(scales[x])
        self.weight_scale = torch.from_numpy(scales[w].astype(np.float32).reshape(-1))
        self.weight = torch.from_numpy(values[w].astype(np.float32)).contiguous(
            memory_format=layout)
        self.bias = torch.from_numpy(values[b].astype(np.float32))
        self.factor = None
        self.output_scale, self.output_zero = 1.0, 0.0

    def run(self, x, weight, bias):
        acc = F.conv2d(x - self.input_zero, weight, bias, self.stride, self.padding, 1, self.groups)
        return Requantize.apply(acc, self.factor, self.output_zero)


class Network:
    """The body as a list of steps (kind, op, input names, output name). `layout` is how maps and
    weights lie in memory."""

    def __init__(self, path, layout=torch.contiguous_format):
        self.layout = layout
        model = onnx.load(path)
        constant = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
        values, scales, zeros, source = {}, {}, {}, {}
        self.steps, self.convs = [], []
        pending = {}
        for node in model.graph.node:
            out = node.output[0]
            if node.op_type == "DequantizeLinear":
                q = node.input[0]
                scales[out] = np.asarray(constant[node.input[1]], np.float64)
                zeros[out] = constant[node.input[2]].reshape(-1)[0] if len(node.input) > 2 else 0
                if q in constant:
                    values[out] = constant[q]
                source[out] = q
            elif node.op_type == "QuantizeLinear":
                if node.input[0] == "input":
                    continue
                kind, made = pending.pop(node.input[0])
                scale = float(constant[node.input[1]])
                zero = float(constant[node.input[2]])
                inputs = [source[name] for name in made.input[:2] if name not in values]
                if kind == "Conv":
                    conv = Conv(made, scales, zeros, values, layout)
                    factor = conv.input_scale * conv.weight_scale.double() / scale
                    conv.factor = factor.float().view(1, -1, 1, 1)
                    conv.output_scale, conv.output_zero = scale, zero
                    self.convs.append(conv)
                    self.steps.append(("conv", len(self.convs) - 1, inputs, out))
                elif kind == "Add":
                    terms = [(float(zeros[n]), float(scales[n]) / scale) for n in made.input]
                    self.steps.append(("add", (terms, zero, scale), inputs, out))
                else:
                    self.steps.append(("pool", zero, inputs, out))
            elif node.op_type != "Flatten":
                pending[out] = (node.op_type, node)
        # The last convolution is the classifier, which every training replaces.
        last = max(i for i, step in enumerate(self.steps) if step[0] == "conv")
        self.features = self.steps[last][2][0]
        self.steps = self.steps[:last]
        self.classifier = self.convs.pop()
        pooled = next(name for name, q in source.items() if q == self.features)
        self.feature_scale, self.feature_zero = float(scales[pooled]), float(zeros[pooled])

    def live_at(self, step):
        """What steps from `step` on read and do not write."""
        read, written = {self.features}, set()
        for _, _, inputs, out in self.steps[step:]:
            read.update(inputs)
            written.add(out)
        return sorted(read - written)

    def cut_of(self, conv):
        for i, step in enumerate(self.steps):
            if step[0] == "conv" and step[1] == conv:
                return i
        return len(self.steps)

    def run(self, live, first, last, parameters):
        """Steps [first, last) on a dictionary of tensors; parameters replace those of convs."""
        live = dict(live)
        for kind, what, inputs, out in self.steps[first:last]:
            if kind == "conv":
                conv = self.convs[what]
                weight, bias = parameters.get(what, (None, None))
                weight = conv.weight if weight is None else Round.apply(weight)
                bias = conv.bias if bias is None else Round.apply(bias)
                live[out] = conv.run(live[inputs[0]], weight, bias)
            elif kind == "add":
                (zero_a, scale_a), (zero_b, scale_b) = what[0]
                a, b = live[inputs[0]], live[inputs[1]]
                total = (a - zero_a) * scale_a + (b - zero_b) * scale_b
                live[out] = Requantize.apply(total, torch.tensor(1.0), what[1])
            else:
                # The average of integers; input and output share scale and zero point.
                live[out] = Round.apply(live[inputs[0]].mean((2, 3), keepdim=True))
        return live


class Training:
    """Trains one plan: fresh head, chosen biases, chosen input channels of chosen weights. With
    `everything`, as the published code does: gradients of all parameters, most of them discarded.
    """

    def __init__(self, network, plan, head, start, everything=False):
        self.network = network
        self.parameters = {}
        self.updates = []
        self.diverged = False
        count = len(network.convs)
        weights = {w["conv"]: w["channels"] for w in plan["weights"]}
        for conv_index in range(count - plan["bias_depth"], count):
            conv = network.convs[conv_index]
            bias = conv.bias.clone().requires_grad_()
            scale = (conv.input_scale * conv.weight_scale) ** 2
            self.updates.append((bias, torch.where(scale > 0, 1 / scale, 0.0), None))
            weight = None
            if conv_index in weights:
                weight = conv.weight.clone().requires_grad_()
                mask = torch.zeros(1 if conv.groups == 1 else weight.shape[0],
                                   weight.shape[1], 1, 1)
                channels = weights[conv_index]
                if conv.groups == 1:
                    mask[:, channels] = 1
                else:
                    mask[channels] = 1
                scale = (conv.weight_scale ** 2).view(-1, 1, 1, 1)
                self.updates.append((weight, torch.where(scale > 0, 1 / scale, 0.0), mask))
            self.parameters[conv_index] = (weight, bias)
        self.discarded = []
        if everything:
            for conv_index, conv in enumerate(network.convs):
                weight, bias = self.parameters.get(conv_index, (None, None))
                if weight is None:
                    weight = conv.weight.clone().requires_grad_()
                    self.discarded.append(weight)
                if bias is None:
                    bias = conv.bias.clone().requires_grad_()
                    self.discarded.append(bias)
                self.parameters[conv_index] = (weight, bias)
        self.head = head[0].clone().requires_grad_(), head[1].clone().requires_grad_()
        for parameter in self.head:
            self.updates.append((parameter, None, None))
        # Steps before this one need no gradient.
        self.first_trained = 0 if everything else network.cut_of(count - plan["bias_depth"])
        self.start = start

    def logits(self, live):
        end = len(self.network.steps)
        with torch.no_grad():
            live = self.network.run(live, self.start, self.first_trained, {})
        features = self.network.run(live, self.first_trained, end, self.parameters)
        features = features[self.network.features].flatten(1)
        features = (features - self.network.feature_zero) * self.network.feature_scale
        return F.linear(features, *self.head)

    def step(self, live, labels, rate):
        loss = F.cross_entropy(self.logits(live), labels)
        parameters = [u[0] for u in self.updates]
        gradients = torch.autograd.grad(loss, parameters + self.discarded)
        with torch.no_grad():
            for (parameter, scale, mask), gradient in zip(self.updates, gradients):
                if mask is not None:
                    gradient = gradient * mask
                if scale is not None:
                    # Dead channels: 0 * inf must stay 0.
                    gradient = torch.where(gradient == 0, 0.0, gradient * scale)
                parameter.sub_(gradient, alpha=rate)
            value = loss.item()
            if not value <= DIVERGED_LOSS:
                self.diverged = True
            for weight, _, mask in self.updates:
                if mask is not None and not weight.abs().max() <= DIVERGED_WEIGHT:
                    self.diverged = True
        return value


class Store:
    """Samples at a cut of the network, as int8."""

    def __init__(self, network, tensors, labels, cut):
        self.network, self.tensors, self.labels, self.cut = network, tensors, labels, cut

    def advance(self, cut, batch):
        parts = []
        with torch.no_grad():
            for first in range(0, len(self.labels), batch):
                live = self.network.run(self.load(slice(first, first + batch)), self.cut, cut, {})
                parts.append({n: live[n].to(torch.int8) for n in self.network.live_at(cut)})
        tensors = {n: torch.cat([p[n] for p in parts]) for n in self.network.live_at(cut)}
        return Store(self.network, tensors, self.labels, cut)

    def load(self, index):
        return {name: tensor[index].to(torch.float32, memory_format=self.network.layout)
                for name, tensor in self.tensors.items()}


class Clock:
    """Wall and processor time of a block; the second is immune to other programs."""

    def __enter__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.wall = time.perf_counter() - self.wall
        self.cpu = time.process_time() - self.cpu


def evaluate(training, store, batch):
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(store.labels), batch):
            part = slice(first, first + batch)
            total += F.cross_entropy(training.logits(store.load(part)), store.labels[part],
                                     reduction="sum").item()
    return total / len(store.labels)


def learning_rate(step, steps, steps_per_epoch, batch, peak=0.1):
    """One epoch of linear rise, then a cosine; for a batch of 256, scaled."""
    scaled = peak * batch / 256
    if step < steps_per_epoch:
        return scaled * (step + 1) / steps_per_epoch
    done = (step - steps_per_epoch) / max(1, steps - steps_per_epoch)
    return scaled * 0.5 * (1 + np.cos(np.pi * done))


def train(training, store, epochs, batch, seed=0):
    steps_per_epoch = (len(store.labels) + batch - 1) // batch
    step = 0
    for epoch in range(epochs):
        order = torch.from_numpy(np.random.RandomState([seed, epoch]).permutation(len(store.labels)))
        for first in range(0, len(order), batch):
            index = order[first:first + batch]
            rate = learning_rate(step, steps_per_epoch * epochs, steps_per_epoch, batch)
            training.step(store.load(index), store.labels[index], rate)
            if training.diverged:
                return
            step += 1


class Bench:
    def __init__(self, folder, seconds, layout=torch.contiguous_format):
        self.seconds = seconds
        self.tasks = json.loads((folder / "tasks.json").read_text())
        self.batch = self.tasks["batch"]
        self.prefix = None
        self.network = Network(self.tasks["model"], layout)
        self.training = self.samples(folder, "train")
        self.validation = self.samples(folder, "validation")
        weights = np.fromfile(folder / "head_weights.bin", np.float32)
        bias = np.fromfile(folder / "head_bias.bin", np.float32)
        self.head = (torch.from_numpy(weights.reshape(len(bias), -1)), torch.from_numpy(bias))

    def samples(self, folder, name):
        labels = np.fromfile(folder / f"{name}_labels.bin", np.int32).astype(np.int64)
        inputs = np.fromfile(folder / f"{name}_inputs.bin", np.int8)
        side = int((inputs.size // len(labels) // 3) ** 0.5)
        inputs = inputs.reshape(len(labels), side, side, 3).transpose(0, 3, 1, 2)
        return Store(self.network, {"input_q": torch.from_numpy(np.ascontiguousarray(inputs))},
                     torch.from_numpy(labels), 0)

    def make(self, plan, start=0, everything=False):
        return Training(self.network, plan, self.head, start, everything)

    def rate(self, work, images):
        """Images per second of repeated work, after one round to warm up."""
        work()
        done = 0
        with Clock() as clock:
            end = time.perf_counter() + self.seconds
            while time.perf_counter() < end:
                work()
                done += images
        return {"images_per_second": done / clock.wall, "images_per_cpu_second": done / clock.cpu}

    def forward(self):
        index = slice(0, self.batch)

        def work():
            with torch.no_grad():
                self.network.run(self.training.load(index), 0, len(self.network.steps), {})
        return self.rate(work, self.batch)

    def step(self, plan, cached):
        store = self.training
        if cached:
            first = self.network.cut_of(len(self.network.convs) - plan["bias_depth"])
            if self.prefix is None or self.prefix.cut != first:
                self.prefix = store.advance(first, self.batch)
            store = self.prefix
        training = self.make(plan, store.cut)
        index = torch.arange(self.batch)
        return self.rate(lambda: training.step(store.load(index), store.labels[index], 1e-6),
                         self.batch)

    def analysis(self, cached, everything=False):
        """Every trial of the slice; prefixes made once and shared, or never. With `everything`,
        all gradients are formed whatever the plan."""
        training = Store(self.network, {n: t[:self.tasks["slice_training"]]
                                        for n, t in self.training.tensors.items()},
                         self.training.labels[:self.tasks["slice_training"]], 0)
        validation = self.validation
        losses = {}
        with Clock() as clock:
            # Deepest training first, so that each prefix continues the one before it.
            trials = list(enumerate(self.tasks["trials"]))
            for i, plan in sorted(trials, key=lambda t: -t[1]["bias_depth"]):
                cut = self.network.cut_of(len(self.network.convs) - plan["bias_depth"])
                if cached and cut > training.cut:
                    training = training.advance(cut, self.batch)
                    validation = validation.advance(cut, self.batch)
                trial = self.make(plan, training.cut, everything)
                train(trial, training, self.tasks["slice_epochs"], self.batch)
                losses[i] = None if trial.diverged else evaluate(trial, validation, self.batch)
        return {"seconds": clock.wall, "cpu_seconds": clock.cpu,
                "losses": [losses[i] for i in range(len(losses))]}

    def check(self, plan, expected):
        """One step as espalier_bench did it: losses of its batch before and after."""
        store = Store(self.network, {n: t[:self.batch] for n, t in self.training.tensors.items()},
                      self.training.labels[:self.batch], 0)
        training = self.make(plan)
        before = training.step(store.load(slice(None)), store.labels, expected["learning_rate"])
        return {"loss_before": before, "espalier_loss_before": expected["loss_before"],
                "loss_after": evaluate(training, store, self.batch),
                "espalier_loss_after": expected["loss_after"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="what espalier_bench --dump wrote")
    parser.add_argument("--espalier", type=pathlib.Path, help="espalier_bench's JSON, to check")
    parser.add_argument("--threads", type=int, default=0, help="default: one per processor")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each of (a) to (c)")
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--skip-analysis", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads or len(os.sched_getaffinity(0)))
    bench = Bench(options.folder, options.seconds)
    result = {"schema": "espalier.bench.pytorch/1", "torch": torch.__version__,
              "threads": torch.get_num_threads()}
    if options.espalier:
        check = json.loads(options.espalier.read_text()).get("check", {})
        result["check"] = {name: bench.check(bench.tasks[name], expected)
                           for name, expected in check.items()}
    result["forward"] = bench.forward()
    result["full"] = bench.step(bench.tasks["full"], cached=False)
    result["plan"] = bench.step(bench.tasks["plan"], cached=True)
    if not options.skip_analysis:
        result["analysis_cached"] = bench.analysis(cached=True)
        result["analysis_whole"] = bench.analysis(cached=False)
        result["analysis_published"] = bench.analysis(cached=False, everything=True)
    options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
