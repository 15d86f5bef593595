// One image with its embedding in this browser's decoder.

import { type Candidate, Shape } from "../candidate";
import type { Model } from "../model";
import { ask, type Prompt, type Source } from "../prompt";
import { type Decoder, decoderOf } from "./decoder";
import { type Frame, frameOf, toModel } from "./frame";
import type { Question } from "./messages";

/** Labels of the decoder beside 1 and 0. */
const CORNERS = [2, 3] as const;
const PADDING = -1;

export class Session {
  constructor(private readonly decoder: Decoder, private readonly frame: Frame) {}

  /** Three candidates, or one that refines a mask. Raises Error where the browser fails. */
  async answer(prompt: Prompt, refined: Candidate | null): Promise<Candidate[]> {
    const earlier = refined?.shape instanceof Shape ? refined.shape.logits : null;
    const { logits, scores } = await this.decoder.decode({ ...question(prompt, this.frame), earlier });
    const pixels = this.frame.low ** 2;
    return (refined ? [0] : [1, 2, 3]).map((at) => {
      const shape = new Shape(logits.slice(at * pixels, (at + 1) * pixels), this.frame);
      return { score: scores[at]!, area: shape.area(), shape };
    });
  }
}

function question(prompt: Prompt, frame: Frame): Omit<Question, "earlier"> {
  const [height, width] = frame.size;
  const [x0, y0, x1, y1] = prompt.box ?? [0, 0, 0, 0];
  const inside = (x: number, y: number): [number, number] => [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
  const corners = prompt.box ? [inside(x0, y0), inside(x1, y1)] : [];
  const points = [...prompt.points, ...corners].map(([x, y]) => toModel(frame, x, y));
  const labels = [...prompt.labels, ...(prompt.box ? CORNERS : [PADDING])];
  return { coords: new Float32Array([...points.flat(), ...(prompt.box ? [] : [0, 0])]), labels: new Float32Array(labels) };
}

/** Raises Error or Refused where this browser or this installation cannot. */
export async function open(source: Source, size: [number, number], model: Model | undefined, named: string, signal: AbortSignal): Promise<Session> {
  const live = new Set(model?.workers.map((worker) => worker.revision));
  const revision = model?.decoders.find((each) => live.has(each));
  if (!model || !revision) throw new Error("There is no decoder of the weights that the workers have.");
  const request = named ? { model: named } : {};
  const [decoder, answer] = await Promise.all([decoderOf(model.name, revision), ask("v1/embeddings", source, request, signal)]);
  if (!answer.headers.get("ETag")?.includes(`-${model.name}-${revision}-`)) throw new Error("The embedding is of other weights than the decoder.");
  if (answer.headers.get("X-Image-Size") !== size.join()) throw new Error("The browser reads the image in another size than the service.");
  const shape = answer.headers.get("X-Embedding-Shape")!.split(",").map(Number) as [number, number, number];
  await decoder.take(await answer.arrayBuffer(), shape);
  return new Session(decoder, frameOf(size, shape[1]));
}
