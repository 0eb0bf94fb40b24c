// The frame around the pages: menu, banner, sign-in.
import type { FunctionComponent, VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { link, reconnect, outdated, seenAt, stale, status, why } from './live';
import { href, place } from './place';
import { locked } from './server';
import { undoLast } from './undo';
import { useKeys } from './load';
import { count } from './words';
import { Notes } from './part/notes';
import { SignIn } from './part/signin';
import { Account } from './part/account';
import { Login } from './page/login';
import { groups, pages, type Page } from './menu';
import { Head } from './part/basic';
import { Empty } from './part/state';

export function App(): VNode {
  const page = pages[place.value.page];
  const [open, setOpen] = useState(false); // the menu on a phone
  const first = useRef(true);

  // In the same turn as the page appears, so that what is typed next is not cut off.
  useLayoutEffect(() => {
    setOpen(false);
    if (first.current) { first.current = false; return; }
    scrollTo(0, 0);
    document.getElementById('title')?.focus({ preventScroll: true });
  }, [place.value.page]);

  useKeys((key) => key === 'u' && undoLast());

  return (
    <div class={'app' + (stale.value ? ' stale' : '')}>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById('main')?.focus(); }}>Skip to the page</a>
      <nav class={'side' + (open ? ' open' : '')} aria-label="Pages">
        <div class="brand">
          <a href={href('overview')} aria-label="NEXUS Continuum, overview">
            <svg class="mark" viewBox="0 0 32 32" aria-hidden="true"><circle cx="16" cy="16" r="13" /><circle cx="16" cy="16" r="7.5" /><circle class="core" cx="16" cy="16" r="2.5" /></svg>
            <span>NEXUS <small>Continuum</small></span>
          </a>
          <Health />
          <button type="button" class="menu" aria-expanded={open} aria-controls="menu" onClick={() => setOpen(!open)}>Menu</button>
        </div>
        <div id="menu" class="groups">
          {groups.map((g) => (
            <div class="group" key={g.name}>
              {g.name && <h2>{g.name}</h2>}
              <ul>{g.pages.map((name) => <Item key={name} name={name} page={pages[name]} />)}</ul>
            </div>
          ))}
          <div class="group foot">
            <ul>
              <li><a href="/docs">API reference</a></li>
              <li><a href="/monitoring">Queue monitor</a></li>
            </ul>
            <Account />
          </div>
        </div>
      </nav>
      <main id="main" tabIndex={-1}>
        <Banner />
        {place.value.page === 'login' ? <Login /> : locked.value ? <SignIn /> : page ? <Shown view={page.view} name={place.value.page} /> : <Nowhere />}
      </main>
      <Notes />
    </div>
  );
}

function Shown({ view: View, name }: { view: FunctionComponent; name: string }): VNode {
  return <View key={name} />;
}

function Item({ name, page }: { name: string; page: Page }): VNode {
  const here = place.value.page === name;
  const n = page.badge?.() ?? 0;
  return (
    <li>
      <a href={href(name)} aria-current={here ? 'page' : undefined}>
        {page.title}{n > 0 && <b class="badge" aria-label={`, ${n} open`}>{count(n)}</b>}
      </a>
    </li>
  );
}

function Health(): VNode {
  const s = status.value;
  let kind = '', text = 'connecting…';
  if (locked.value) text = 'key needed';
  else if (link.value === 'lost') [kind, text] = ['unhealthy', 'connection lost'];
  else if (link.value === 'denied') text = 'not permitted';
  else if (s) [kind, text] = [s.health.status, s.health.status];
  return <span class={'pill ' + kind} id="health" role="status">{text}</span>;
}

function Banner(): VNode | null {
  if (locked.value) return null;
  if (link.value === 'lost') {
    const at = seenAt.value ? new Date(seenAt.value).toLocaleTimeString() : null;
    return (
      <p class="note bad" id="lost" role="alert">
        {why.value} {at ? `What is shown is from ${at}.` : ''} This page reconnects by itself. <button type="button" class="link" onClick={reconnect}>Try now</button>
      </p>
    );
  }
  if (outdated.value) return <p class="note" role="status">The server was updated. <button type="button" class="link" onClick={() => location.reload()}>Load the new dashboard</button></p>;
  return null;
}

function Nowhere(): VNode {
  return <><Head title="No such page" /><Empty title="There is no page at this address"><a href={href('overview')}>Go to the overview</a></Empty></>;
}
