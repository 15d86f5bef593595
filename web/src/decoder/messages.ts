// What the page and the decoder's worker say to each other. Each request has one answer.

/** A prompt in model pixels, as the ONNX file takes it. */
export interface Question {
  coords: Float32Array;
  labels: Float32Array;
  /** Logits of the mask that is refined. */
  earlier: Float32Array | null;
}

/** All four masks: the one for a prompt that says enough, then three candidates. */
export interface Found {
  logits: Float32Array;
  scores: Float32Array;
}

export type Request =
  | { id: number; kind: "load"; model: ArrayBuffer }
  | { id: number; kind: "image"; octets: ArrayBuffer; shape: [number, number, number] }
  | ({ id: number; kind: "decode" } & Question);

export type Reply = { id: number; found: Found | null } | { id: number; error: string };
