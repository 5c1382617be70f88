// A QDQ model in ONNX Runtime, measured on demand (see peers_bench.py).
// usage: node onnx_runtime_peer.mjs MODULES_FOLDER MODEL FOLDER SCALE ZERO LOGITS
//
// MODULES_FOLDER is the node_modules folder that holds onnxruntime-node, FOLDER what `espalier_bench
// --dump` wrote, SCALE and ZERO the quantisation of its int8 inputs. The model takes floats,
// channels first, as published, or bytes, channels last, as onnx_unsigned.py makes it. What it says
// to the pictures goes to LOGITS; then lines 'forward1|forward64 THREADS SECONDS' are answered.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { createInterface } from 'node:readline';

const [modules, model, folder, scale, zero, logitsFile] = process.argv.slice(2);
const require = createRequire(path.resolve(modules, 'espalier.js'));
const ort = require('onnxruntime-node');

const sessions = {};
async function sessionOf(threads) {
  sessions[threads] ??= await ort.InferenceSession.create(model, {
    graphOptimizationLevel: 'all',
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  return sessions[threads];
}

const labels = readFileSync(path.join(folder, 'train_labels.bin'));
const images = labels.byteLength / 4;
const inputs = readFileSync(path.join(folder, 'train_inputs.bin'));
const elements = inputs.byteLength / images;
const pixels = elements / 3;
const side = Math.sqrt(pixels);

const first = await sessionOf(1);
const inputName = first.inputNames[0];
const unsigned = inputName === 'input_integers';

// A batch of the folder's pictures as the model takes them.
function tensorOf(begin, batch) {
  const bytes = new Int8Array(inputs.buffer, inputs.byteOffset + begin * elements, batch * elements);
  if (unsigned) {
    return new ort.Tensor('uint8', Uint8Array.from(bytes, (v) => v + 128), [batch, side, side, 3]);
  }
  const values = new Float32Array(batch * elements);
  for (let n = 0; n < batch; ++n) {
    for (let p = 0; p < pixels; ++p) {
      for (let c = 0; c < 3; ++c) {
        const q = bytes[n * elements + p * 3 + c];
        values[n * elements + c * pixels + p] = (q - Number(zero)) * Number(scale);
      }
    }
  }
  return new ort.Tensor('float32', values, [batch, 3, side, side]);
}

async function run(session, tensor) {
  const results = await session.run({ [inputName]: tensor });
  return results[session.outputNames[0]].data;
}

async function rate(batch, threads, seconds) {
  const session = await sessionOf(threads);
  const tensors = [];
  for (let begin = 0; begin < images; begin += batch) tensors.push(tensorOf(begin, batch));
  for (let i = 0; i < 3; ++i) await run(session, tensors[0]);
  const cpu = process.cpuUsage();
  const start = process.hrtime.bigint();
  let done = 0;
  let spent = 0;
  for (let i = 0; spent < seconds; i = (i + 1) % tensors.length) {
    await run(session, tensors[i]);
    done += batch;
    spent = Number(process.hrtime.bigint() - start) * 1e-9;
  }
  const used = process.cpuUsage(cpu);
  return {
    images_per_second: done / spent,
    images_per_cpu_second: done / ((used.user + used.system) * 1e-6),
  };
}

const rows = [];
for (let begin = 0; begin < images; begin += 64) {
  const output = await run(first, tensorOf(begin, 64));
  rows.push(Buffer.from(output.buffer, output.byteOffset, output.byteLength));
}
writeFileSync(logitsFile, Buffer.concat(rows));
console.log('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [task, threads, seconds] = line.split(' ');
  const batch = Number(task.replace('forward', ''));
  console.log(JSON.stringify(await rate(batch, Number(threads), Number(seconds))));
}
