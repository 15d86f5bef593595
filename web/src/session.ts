// The API key: where it is kept, and how it gets here.
// A tab forgets it when it is closed, unless the user asks this browser to keep it.

const NAME = "maskworks.key";

export function currentKey(): string | null {
  return sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME);
}

export function signIn(key: string, keep: boolean): void {
  signOut();
  (keep ? localStorage : sessionStorage).setItem(NAME, key);
}

export function signOut(): void {
  sessionStorage.removeItem(NAME);
  localStorage.removeItem(NAME);
}

/** The key of a link such as `/#key=mw_…`. A fragment never reaches a server or its log. It leaves the address at once. */
export function keyOfLink(): string | null {
  const found = /^#key=([\w.-]+)$/.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, "", "#/jobs");
  return found[1] ?? null;
}

/** Whether a link's key is taken without a question. On another host a link could sign a user in to a stranger's account. */
export function isLocal(): boolean {
  return ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
}
