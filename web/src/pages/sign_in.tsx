// Signing in with an API key.

import { useState } from "preact/hooks";

import { Refused, call, told } from "../api";
import { signIn } from "../session";

export function SignIn({ offered, why, done }: { offered: string | null; why: string | null; done: () => void }) {
  const [key, setKey] = useState(offered ?? "");
  const [keep, setKeep] = useState(false);
  const [error, setError] = useState(why);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    try {
      await call("v1/jobs?page_size=1", { key: key.trim() });
      signIn(key.trim(), keep);
      done();
    } catch (failed) {
      if (failed instanceof Refused && failed.reason === "SCOPE_MISSING") {
        setError("The key may not read jobs. These pages need the scope jobs:read.");
      } else setError(told(failed));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="card narrow" onSubmit={submit}>
      <h1>Sign in</h1>
      <p>
        Your administrator makes API keys with <code>python -m db.keys create</code>. On a local stack, <code>make up</code> prints
        a link that signs you in.
      </p>
      {/* Programs that keep passwords ask for a name. All keys are kept under this one. */}
      <input type="text" autocomplete="username" value="maskworks" hidden readOnly />
      <label>
        API key
        <input type="password" autocomplete="current-password" required value={key} onInput={(e) => setKey(e.currentTarget.value)}
          placeholder="mw_…" spellcheck={false} autofocus />
      </label>
      <label class="check">
        <input type="checkbox" checked={keep} onChange={(e) => setKeep(e.currentTarget.checked)} />
        Keep me signed in on this browser
      </label>
      {error && <p class="notice bad" role="alert">{error}</p>}
      <button class="primary" disabled={busy}>Sign in</button>
    </form>
  );
}
