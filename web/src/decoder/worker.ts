// The mask decoder in a thread of its own: onnxruntime as WebAssembly, with the embedding of one image at a time.

import { env, InferenceSession, Tensor } from "onnxruntime-web/wasm";
import glue from "onnxruntime-web/ort-wasm-simd-threaded.mjs?url";

import type { Found, Question, Reply, Request } from "./messages";

const WASM = "ort-wasm-simd-threaded.wasm.gz";
const MOST_THREADS = 4;
const PER_CELL = 4;

let session: InferenceSession | null = null;
let image: { embedding: Tensor; side: number } | null = null;

async function load(model: ArrayBuffer): Promise<void> {
  // Memory is shared between threads only where the browser isolates the page from other origins.
  env.wasm.numThreads = crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  env.wasm.wasmPaths = { mjs: new URL(glue, import.meta.url).href };
  env.wasm.wasmBinary = await unpacked(new URL(WASM, import.meta.url));
  session = await InferenceSession.create(model, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
}

async function unpacked(address: URL): Promise<ArrayBuffer> {
  const answer = await fetch(address);
  if (!answer.ok || !answer.body) throw new Error(`${address} answers ${answer.status}`);
  return new Response(answer.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

async function take(octets: ArrayBuffer, shape: [number, number, number]): Promise<void> {
  const first = image === null;
  image = { embedding: new Tensor("float16", new Uint16Array(octets), [1, ...shape]), side: PER_CELL * shape[1] };
  // The browser compiles code as it is first used. A prompt that nobody asked for spares the first click that time.
  if (first) await decode({ coords: new Float32Array(4), labels: new Float32Array([1, -1]), earlier: null });
}

async function decode({ coords, labels, earlier }: Question): Promise<Found> {
  if (!session || !image) throw new Error("There is no image to decode.");
  const { embedding, side } = image;
  const found = await session.run({
    image_embeddings: embedding,
    point_coords: new Tensor("float32", coords, [1, labels.length, 2]),
    point_labels: new Tensor("float32", labels, [1, labels.length]),
    mask_input: new Tensor("float32", earlier ?? new Float32Array(side * side), [1, 1, side, side]),
    has_mask_input: new Tensor("float32", [earlier ? 1 : 0], [1]),
  });
  return { logits: found["low_res_masks"]!.data as Float32Array, scores: found["iou_predictions"]!.data as Float32Array };
}

async function answer(request: Request): Promise<Found | null> {
  if (request.kind === "load") await load(request.model);
  else if (request.kind === "image") await take(request.octets, request.shape);
  else return decode(request);
  return null;
}

let last: Promise<void> = Promise.resolve();

/** One after the other: a session runs one prompt at a time. */
addEventListener("message", ({ data }: MessageEvent<Request>) => {
  const reply = (message: Reply) => postMessage(message);
  last = last.then(() => answer(data)).then(
    (found) => reply({ id: data.id, found }),
    (failed) => reply({ id: data.id, error: String(failed) }),
  );
});
