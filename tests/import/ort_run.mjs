// Runs an ONNX model in ONNX Runtime on raw float32 input and writes its raw float32 output.
// usage: node ort_run.mjs MODULES_FOLDER MODEL INPUT OUTPUT DIM...
// MODULES_FOLDER is the node_modules folder that holds onnxruntime-node.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [modules, model, inputFile, outputFile, ...dims] = process.argv.slice(2);
const require = createRequire(path.resolve(modules, 'espalier.js'));
const ort = require('onnxruntime-node');

// Unoptimised, every node computes what its specification says, in float; optimised, the runtime
// replaces QDQ pairs by integer kernels that may saturate on some processors.
const session = await ort.InferenceSession.create(model, {
  graphOptimizationLevel: 'disabled',
  executionProviders: ['cpu'],
  logSeverityLevel: 3,
});
const bytes = readFileSync(inputFile);
const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', values, dims.map(Number)) };
const results = await session.run(feeds);
const output = results[session.outputNames[0]].data;
writeFileSync(outputFile, Buffer.from(output.buffer, output.byteOffset, output.byteLength));
