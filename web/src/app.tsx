// The pages: a head with the places to go, and the page that the address names.

import { render } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";

import { whenUnauthenticated } from "./api";
import { ItemPage } from "./pages/item";
import { JobPage } from "./pages/job";
import { JobsPage } from "./pages/jobs";
import { PlaygroundPage } from "./pages/playground";
import { SignIn } from "./pages/sign_in";
import { SubmitPage } from "./pages/submit";
import { WorkersPage } from "./pages/workers";
import { Theme } from "./parts/theme";
import { forgetPreviews } from "./previews";
import { address, type Route, useRoute } from "./route";
import { currentKey, isLocal, keyOfLink, signIn, signOut } from "./session";
import "./styles/app.css";

const PLACES = [
  ["jobs", "Jobs"],
  ["submit", "Submit"],
  ["playground", "Playground"],
  ["workers", "Workers"],
] as const;

function App({ offered }: { offered: string | null }) {
  const [key, setKey] = useState(currentKey());
  const [why, setWhy] = useState<string | null>(null);
  const route = useRoute();
  const leave = (reason: string | null) => {
    signOut();
    forgetPreviews();
    setWhy(reason);
    setKey(null);
  };
  useEffect(() => whenUnauthenticated(() => leave("The key is not valid any more.")), []);
  return (
    <>
      <Head here={route.path[0] ?? "jobs"} signedIn={key !== null} leave={() => leave(null)} />
      <main>
        {key === null ? <SignIn offered={offered} why={why} done={() => setKey(currentKey())} /> : <Page route={route} />}
      </main>
    </>
  );
}

function Page({ route }: { route: Route }) {
  const [place = "jobs", id, , item] = route.path;
  useLayoutEffect(() => scrollTo(0, 0), [route.path.join("/")]);
  if (place === "jobs" && id === undefined) return <JobsPage query={route.query} />;
  if (place === "jobs" && item !== undefined) return <ItemPage key={`${id}/${item}`} job={id!} index={Number(item)} query={route.query} />;
  if (place === "jobs") return <JobPage key={id!} id={id!} query={route.query} />;
  if (place === "submit") return <SubmitPage />;
  if (place === "playground") return <PlaygroundPage key={route.query.toString()} query={route.query} />;
  if (place === "workers") return <WorkersPage />;
  return <div class="empty"><h1>There is no such page</h1><a href={address("jobs")}>To the jobs</a></div>;
}

function Head({ here, signedIn, leave }: { here: string; signedIn: boolean; leave: () => void }) {
  return (
    <header class="head">
      <a class="brand" href={address("jobs")}><img src="static/icon.svg" alt="" width="20" height="20" /> maskworks</a>
      {signedIn && (
        <nav aria-label="Pages">
          {PLACES.map(([place, name]) => (
            <a key={place} href={address(place)} aria-current={here === place ? "page" : undefined}>{name}</a>
          ))}
        </nav>
      )}
      <div class="aside">
        <a href="docs">API</a>
        <Theme />
        {signedIn && <button class="plain" onClick={leave}>Sign out</button>}
      </div>
    </header>
  );
}

function start(): void {
  const given = keyOfLink();
  const taken = given !== null && (isLocal() || given === currentKey());
  if (taken) signIn(given, isLocal());
  render(<App offered={taken ? null : given} />, document.getElementById("app")!);
}

start();
