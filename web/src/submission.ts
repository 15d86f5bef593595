// A job as a request that makes the same job again: for curl, and for Python.

import type { Job } from "./job";

/** The body that made the job. Images that were listed in the body itself are not kept by the API. */
export function bodyOf(job: Job): Record<string, unknown> {
  const listed = typeof job.input.items === "number";
  const input = listed ? { ...job.input, items: [{ image: "s3://bucket/image.jpg" }] } : job.input;
  const more = {
    name: job.name,
    labels: Object.keys(job.labels).length ? job.labels : null,
    precision: job.precision,
    priority: job.priority === 5 ? null : job.priority,
    max_failure_ratio: job.max_failure_ratio,
    reuse: job.reuse || null,
    output: job.output ? { uri: job.output.uri, formats: job.output.formats } : null,
  };
  const given = Object.entries(more).filter(([, value]) => value !== null);
  return { ...Object.fromEntries(given), model: job.model, task: job.task, input };
}

const origin = (): string => new URL(".", location.href).href.replace(/\/$/, "");
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

export function asCurl(body: unknown): string {
  return [
    `curl ${quoted(`${origin()}/v1/jobs`)}`,
    `-H "Authorization: Bearer $MASKWORKS_API_KEY"`,
    `-H 'Content-Type: application/json'`,
    `-d ${quoted(JSON.stringify(body, null, 1))}`,
  ].join(" \\\n  ");
}

export function asPython(body: Record<string, unknown>): string {
  const { input, ...rest } = body as { input: Record<string, unknown> };
  const given = Object.entries({ ...input, ...rest }).map(([name, value]) => `    ${name}=${literal(value, 1)},`);
  return [
    "from maskworks import Client", "",
    `client = Client(${JSON.stringify(origin())})  # the key comes from MASKWORKS_API_KEY`,
    "job = client.jobs.submit(", ...given, ")", "job.wait(progress=True)",
  ].join("\n");
}

/** A JSON value as Python writes it. */
function literal(value: unknown, depth: number): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const inside = "    ".repeat(depth + 1);
  const outside = "    ".repeat(depth);
  const list = Array.isArray(value);
  const parts = Object.entries(value).map(([name, each]) => `${list ? "" : `${JSON.stringify(name)}: `}${literal(each, depth + 1)}`);
  const [open, close] = list ? ["[", "]"] : ["{", "}"];
  const short = `${open}${parts.join(", ")}${close}`;
  return short.length < 80 ? short : `${open}\n${parts.map((part) => `${inside}${part},\n`).join("")}${outside}${close}`;
}
