// A picture to zoom and to move. Its layers are canvases of the picture's size, one above the other.

import type { ComponentChildren } from "preact";
import { useImperativeHandle, useLayoutEffect, useRef } from "preact/hooks";
import { forwardRef } from "preact/compat";

type Point = [number, number];

export interface StageActs {
  zoom(factor: number): void;
  fit(): void;
}

interface Props {
  width: number;
  height: number;
  label: string;
  children: ComponentChildren;
  /** Where the pointer is, in pixels of the layers; null once it has left. */
  onMove?: (at: Point | null) => void;
  onPick?: (at: Point, event: PointerEvent) => void;
  /** Where it is given and `boxing` holds, a drag is a box and does not move the picture. */
  onBox?: (from: Point, to: Point, done: boolean) => void;
  boxing?: boolean;
}

const SLACK = 4;

export const Stage = forwardRef<StageActs, Props>(function Stage(props, acts) {
  const frame = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const view = useRef<View | null>(null);
  useLayoutEffect(() => {
    const made = new View(frame.current!, inner.current!, () => latest.current);
    view.current = made;
    return () => made.close();
  }, []);
  useLayoutEffect(() => view.current?.fit(), [props.width, props.height]);
  useImperativeHandle(acts, () => ({ zoom: (factor) => view.current?.zoomCentre(factor), fit: () => view.current?.fit() }), []);
  return (
    <div class="stage" ref={frame} role="img" aria-label={props.label}>
      <div class="layers" ref={inner} style={{ width: `${props.width}px`, height: `${props.height}px` }}>{props.children}</div>
    </div>
  );
});

/** Where the picture lies in its frame. It moves without rendering anything again. */
class View {
  private scale = 1;
  private x = 0;
  private y = 0;
  private fitted = true;
  private readonly fingers = new Map<number, Point>();
  private from: Point | null = null;
  private moved = false;
  private readonly stop = new AbortController();
  private readonly resized = new ResizeObserver(() => this.fitted && this.fit());

  constructor(private readonly frame: HTMLElement, private readonly inner: HTMLElement, private readonly props: () => Props) {
    const { signal } = this.stop;
    const on = (name: string, act: (event: PointerEvent) => void) => frame.addEventListener(name, act as EventListener, { signal });
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event, true));
    on("pointercancel", (event) => this.up(event, false));
    on("pointerleave", () => this.props().onMove?.(null));
    frame.addEventListener("wheel", (event) => this.wheel(event), { signal, passive: false });
    this.resized.observe(frame);
  }

  close(): void {
    this.stop.abort();
    this.resized.disconnect();
  }

  fit(): void {
    const { width, height } = this.props();
    if (!width || !height) return;
    const { clientWidth, clientHeight } = this.frame;
    this.scale = Math.min(clientWidth / width, clientHeight / height);
    this.x = (clientWidth - width * this.scale) / 2;
    this.y = (clientHeight - height * this.scale) / 2;
    this.fitted = true;
    this.show();
  }

  zoomCentre(factor: number): void {
    this.zoom(factor, [this.frame.clientWidth / 2, this.frame.clientHeight / 2]);
  }

  private zoom(factor: number, [x, y]: Point): void {
    const scale = Math.min(40, Math.max(0.02, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.show();
  }

  private show(): void {
    this.inner.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.inner.classList.toggle("near", this.scale > 3);
  }

  private at(event: MouseEvent): Point {
    const { left, top } = this.frame.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  private pixel([x, y]: Point): Point {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), this.at(event));
  }

  private down(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.frame.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, this.at(event));
    this.from = this.at(event);
    this.moved = this.fingers.size > 1;
  }

  private move(event: PointerEvent): void {
    const now = this.at(event);
    const was = this.fingers.get(event.pointerId);
    const { onMove, onBox, boxing } = this.props();
    if (!was) {
      onMove?.(this.pixel(now));
      return;
    }
    const far = Math.hypot(now[0] - this.from![0], now[1] - this.from![1]) > SLACK;
    if (!this.moved && !far) return;
    this.moved = true;
    if (this.fingers.size === 2) this.pinch(event.pointerId, was, now);
    else if (boxing && onBox) onBox(this.pixel(this.from!), this.pixel(now), false);
    else this.pan(now[0] - was[0], now[1] - was[1]);
    this.fingers.set(event.pointerId, now);
  }

  private pan(dx: number, dy: number): void {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.show();
  }

  private pinch(finger: number, was: Point, now: Point): void {
    const [, other] = [...this.fingers].find(([id]) => id !== finger)!;
    const before = Math.hypot(was[0] - other[0], was[1] - other[1]);
    const after = Math.hypot(now[0] - other[0], now[1] - other[1]);
    if (before > 0) this.zoom(after / before, [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
  }

  private up(event: PointerEvent, ended: boolean): void {
    if (!this.fingers.delete(event.pointerId) || !ended) return;
    const { onPick, onBox, boxing } = this.props();
    const now = this.pixel(this.at(event));
    if (!this.moved) onPick?.(now, event);
    else if (boxing && onBox && this.fingers.size === 0) onBox(this.pixel(this.from!), now, true);
  }
}
