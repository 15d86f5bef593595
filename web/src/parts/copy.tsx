// A text to copy, such as a command.

import { useState } from "preact/hooks";

export function Copy({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return <button type="button" onClick={copy} aria-live="polite">{copied ? "Copied" : label}</button>;
}

/** Browsers let pages copy only where these come over TLS or from this machine. */
export function Code({ text, label }: { text: string; label: string }) {
  return (
    <div class="code">
      <pre tabIndex={0} aria-label={label}>{text}</pre>
      {isSecureContext && <Copy text={text} label={`Copy ${label}`} />}
    </div>
  );
}
