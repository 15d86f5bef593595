// The chosen candidate as a layer over the image.

import { useLayoutEffect, useRef } from "preact/hooks";

import { type Candidate, labelsOf, shown } from "../candidate";
import { type Colour, paint } from "../colours";

const TINT: Colour = [37, 128, 255];
const OPACITY = 115;

interface Props {
  candidate: Candidate | null;
  /** [height, width] of the image. */
  size: [number, number];
  onDrawn: () => void;
}

/** It is drawn at once: an effect would wait for the next frame. */
export function CandidateLayer({ candidate, size, onDrawn }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [rows, columns] = shown(size);
  useLayoutEffect(() => {
    const context = canvas.current!.getContext("2d")!;
    if (!candidate) {
      context.clearRect(0, 0, columns, rows);
      return;
    }
    const picture = new ImageData(columns, rows);
    paint(labelsOf(candidate, size, rows, columns), columns, picture.data, [TINT, TINT], OPACITY);
    context.putImageData(picture, 0, 0);
    onDrawn();
  }, [candidate, size]);
  return <canvas ref={canvas} width={columns} height={rows} class="highlight" />;
}
