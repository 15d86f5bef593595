// The clicks and the box of a prompt, drawn above the image.

import { useEffect, useRef } from "preact/hooks";

import type { Prompt } from "../prompt";

const INCLUDE = "#22c55e";
const EXCLUDE = "#ef4444";

export function Marks({ prompt, scale, width, height }: { prompt: Prompt; scale: number; width: number; height: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current!.getContext("2d")!;
    const unit = Math.max(width, height) / 160;
    context.clearRect(0, 0, width, height);
    context.lineWidth = unit / 2.5;
    context.strokeStyle = INCLUDE;
    if (prompt.box) {
      const [x0, y0, x1, y1] = prompt.box.map((value) => value / scale) as [number, number, number, number];
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
    context.strokeStyle = "white";
    prompt.points.forEach(([x, y], at) => {
      context.beginPath();
      context.arc(x / scale, y / scale, unit, 0, 2 * Math.PI);
      context.fillStyle = prompt.labels[at] ? INCLUDE : EXCLUDE;
      context.fill();
      context.stroke();
    });
  }, [prompt, scale, width, height]);
  return <canvas ref={canvas} width={width} height={height} />;
}
