// The items that a grid shows, read page by page as they come into view.

import { read } from "./api";
import type { Item, ItemPage } from "./item";
import type { ItemState } from "./job";

const PAGE = 100;

/** Of one job, of all states or of one. `changed` is called when there is more to show. */
export class Items {
  private pages = new Map<number, Item[]>();
  private asked = new Set<number>();
  private tokens: (string | undefined)[] = [undefined];
  private ended = false;
  private readonly stop = new AbortController();

  constructor(
    private readonly job: string,
    private readonly state: ItemState | null,
    private readonly changed: () => void,
    private readonly failed: (error: unknown) => void,
  ) {}

  at(index: number): Item | undefined {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** What was read so far. */
  known(): Item[] {
    return [...this.pages.values()].flat();
  }

  /** How many there are, of `total` by the job's counts. Pages of one state are read in turn. */
  count(total: number): number {
    if (this.state === null) return total;
    const pages = [...this.pages.values()];
    const read = pages.reduce((sum, page) => sum + page.length, 0);
    return this.ended ? read : Math.max(read, Math.min(total, read + PAGE));
  }

  /** Read what is missing of the entries [first, last]. */
  need(first: number, last: number): void {
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page++) {
      if (this.state !== null && page >= this.tokens.length) return;
      if (!this.asked.has(page)) void this.load(page);
    }
  }

  /** Read pages again whose items may have changed. */
  refresh(): void {
    if (this.state === "pending" || this.state === "running") {
      this.asked.clear();
      this.ended = false;
      return;
    }
    if (this.state !== null) {
      this.ended = false;
      this.asked = new Set([...this.asked].filter((page) => this.pages.get(page)?.length === PAGE));
      return;
    }
    for (const [page, items] of this.pages) {
      if (items.length < PAGE || items.some((item) => item.state === "pending" || item.state === "running")) this.asked.delete(page);
    }
  }

  close(): void {
    this.stop.abort();
  }

  private async load(page: number): Promise<void> {
    this.asked.add(page);
    const token = this.tokens[page];
    const query = new URLSearchParams({ page_size: String(PAGE) });
    if (this.state !== null) query.set("state", this.state);
    if (token !== undefined) query.set("page_token", token);
    else if (page > 0) query.set("start", String(page * PAGE));
    try {
      const found = await read<ItemPage>(`v1/jobs/${this.job}/items?${query}`, { signal: this.stop.signal });
      this.pages.set(page, found.items);
      if (this.state !== null) this.noteEnd(page, found.next_page_token);
      this.changed();
    } catch (error) {
      if (!this.stop.signal.aborted) {
        this.asked.delete(page);
        this.failed(error);
      }
    }
  }

  private noteEnd(page: number, token: string | undefined): void {
    if (token === undefined) this.ended = true;
    else this.tokens[page + 1] = token;
  }
}
