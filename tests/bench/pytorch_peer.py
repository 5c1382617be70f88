#!/usr/bin/env python3
"""One form of a network in PyTorch, measured on demand (see peers_bench.py).

  pytorch_peer.py --list                       names of the forms that this PyTorch has
  pytorch_peer.py FORM FOLDER --logits FILE    FOLDER is what `espalier_bench --dump` wrote

Forms: fp32 and fp32-channels-last are the simulation of pytorch_bench.py; int8-ENGINE is the network
in quantised kernels, activations unsigned and channels last, weights signed with a scale a channel.
What it says to the pictures of the folder goes to FILE. Then lines
'forward1|forward64|full|plan THREADS SECONDS' are answered with a rate each.
"""

import argparse
import json
import pathlib
import sys
import time
import warnings

import torch
import torch.nn.functional as F

import pytorch_bench

# 'x86' chooses between fbgemm and onednn. QNNPACK, made for telephones, is several times slower
# than either and measured only in their absence.
ENGINES = ("fbgemm", "onednn", "x86")


class Int8(torch.nn.Module):
    """The network on quint8 maps: the file's zero points plus 128. Activation functions are the
    clamp of the convolution before them, so there is nothing else to do for them."""

    def __init__(self, network):
        super().__init__()
        self.steps = network.steps
        self.features = network.features
        self.input = network.steps[0][2][0]
        self.convs = torch.nn.ModuleList(self.convert(c) for c in network.convs)
        self.classifier = self.convert(network.classifier)

    @staticmethod
    def convert(conv):
        outputs, inputs = conv.weight.shape[:2]
        scales = conv.weight_scale.double()
        weight = torch.quantize_per_channel(
            conv.weight * conv.weight_scale.view(-1, 1, 1, 1), scales,
            torch.zeros(outputs, dtype=torch.long), 0, torch.qint8)
        assert torch.equal(weight.int_repr().float(), conv.weight)
        module = torch.nn.quantized.Conv2d(
            inputs * conv.groups, outputs, tuple(conv.weight.shape[2:]), conv.stride, conv.padding,
            (1, 1), conv.groups)
        module.set_weight_bias(weight, (conv.bias.double() * conv.input_scale * scales).float())
        module.scale, module.zero_point = conv.output_scale, int(conv.output_zero) + 128
        return module

    def forward(self, x):
        live = {self.input: x}
        for kind, what, inputs, out in self.steps:
            if kind == "conv":
                live[out] = self.convs[what](live[inputs[0]])
            elif kind == "add":
                _, zero, scale = what
                live[out] = torch.ops.quantized.add(live[inputs[0]], live[inputs[1]], scale,
                                                    int(zero) + 128)
            else:
                # Input and output share scale and zero point.
                live[out] = F.adaptive_avg_pool2d(live[inputs[0]], 1)
        return self.classifier(live[self.features]).dequantize().flatten(1)


class Int8Form:
    """Inputs and compiled networks, one for each size of batches because oneDNN's kernels are made
    for the first shape they see. Trainings are not to be had in these kernels."""

    def __init__(self, bench, engine):
        torch.backends.quantized.engine = engine
        network = bench.network
        scale = network.convs[0].input_scale
        zero = int(network.convs[0].input_zero)
        integers = bench.training.tensors["input_q"].float() - zero
        inputs = torch.quantize_per_tensor(integers * scale, scale, zero + 128, torch.quint8)
        assert torch.equal(inputs.int_repr().float() - 128 - zero, integers)
        self.inputs = inputs.contiguous(memory_format=torch.channels_last)
        self.network, self.modules = network, {}

    def logits(self, first, batch):
        inputs = self.inputs[first:first + batch]
        if batch not in self.modules:
            module = torch.jit.trace(Int8(self.network).eval(), inputs, check_trace=False)
            self.modules[batch] = torch.jit.freeze(module.eval())
        return self.modules[batch](inputs)


class FloatForm:
    def __init__(self, bench):
        self.network = bench.network
        classifier = self.network.classifier
        self.inputs = bench.training.load(slice(None))["input_q"]
        self.weight = classifier.weight.flatten(1) * classifier.weight_scale.view(-1, 1)
        self.bias = classifier.bias * classifier.input_scale * classifier.weight_scale

    def logits(self, first, batch):
        network = self.network
        live = {"input_q": self.inputs[first:first + batch]}
        features = network.run(live, 0, len(network.steps), {})[network.features].flatten(1)
        features = (features - network.feature_zero) * network.feature_scale
        return F.linear(features, self.weight, self.bias)


def forward_rate(form, images, batch, seconds):
    with torch.inference_mode():
        for _ in range(3):  # the first runs optimise
            form.logits(0, batch)
        done = first = 0
        with pytorch_bench.Clock() as clock:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                form.logits(first, batch)
                done += batch
                first = (first + batch) % images
    return {"images_per_second": done / clock.wall, "images_per_cpu_second": done / clock.cpu}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("form", nargs="?")
    parser.add_argument("folder", type=pathlib.Path, nargs="?")
    parser.add_argument("--logits", type=pathlib.Path)
    options = parser.parse_args()
    if options.list:
        supported = torch.backends.quantized.supported_engines
        engines = [e for e in ENGINES if e in supported] or [e for e in supported if e != "none"]
        print(json.dumps({"version": torch.__version__,
                          "forms": ["fp32", "fp32-channels-last"] + [f"int8-{e}" for e in engines]}))
        return
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    last = torch.channels_last if options.form == "fp32-channels-last" else torch.contiguous_format
    bench = pytorch_bench.Bench(options.folder, 0.0, last)
    images = len(bench.training.labels)
    if options.form.startswith("int8-"):
        form = Int8Form(bench, options.form.removeprefix("int8-"))
    else:
        form = FloatForm(bench)
    with torch.no_grad():
        rows = [form.logits(first, bench.batch) for first in range(0, images, bench.batch)]
    torch.cat(rows).float().numpy().tofile(options.logits)
    print("ready", flush=True)
    for line in sys.stdin:
        task, threads, seconds = line.split()
        torch.set_num_threads(int(threads))
        if task.startswith("forward"):
            answer = forward_rate(form, images, int(task.removeprefix("forward")), float(seconds))
        else:
            bench.seconds = float(seconds)
            answer = bench.step(bench.tasks[task], cached=task == "plan")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
