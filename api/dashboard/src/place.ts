// Where the reader is: the page and the state of its view, both in the address,
// so that a link, a reload and the Back button show the same.
import { signal } from '@preact/signals';

export interface Place {
  page: string;
  query: URLSearchParams;
}

const base = '/dashboard';

function read(at: { pathname: string; search: string } = location): Place {
  const page = at.pathname.slice(base.length).replace(/^\/|\/$/g, '');
  return { page: page || 'overview', query: new URLSearchParams(at.search) };
}

export const place = signal<Place>(read());

addEventListener('popstate', () => { place.value = read(); });

type Query = Record<string, string | null | undefined>;

export function href(page: string, query: Query = {}): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v) q.set(k, v);
  const s = q.toString();
  return base + (page === 'overview' ? '' : '/' + page) + (s ? '?' + s : '');
}

export function go(page: string, query: Query = {}): void {
  history.pushState(null, '', href(page, query));
  place.value = read();
}

// view changes the state of the view. Typing replaces the entry in the history;
// opening something adds one, so that Back closes it.
export function view(change: Query, add = false): void {
  const q: Query = Object.fromEntries(place.value.query);
  const to = href(place.value.page, { ...q, ...change });
  if (add) history.pushState(null, '', to);
  else history.replaceState(null, '', to);
  // Not from location: a browser leaves the address alone when a held key changes it too often.
  place.value = read(new URL(to, location.origin));
}

export const param = (name: string): string => place.value.query.get(name) ?? '';

// Plain clicks on links of the dashboard stay within the page.
document.addEventListener('click', (ev) => {
  if (ev.defaultPrevented || ev.button !== 0 || ev.metaKey || ev.ctrlKey || ev.shiftKey || ev.altKey) return;
  const a = (ev.target as Element).closest?.('a');
  if (!a || a.target || a.hasAttribute('download') || a.origin !== location.origin) return;
  if (a.pathname !== base && !a.pathname.startsWith(base + '/')) return;
  if (a.hash && a.pathname === location.pathname) return; // within the page
  ev.preventDefault();
  history.pushState(null, '', a.pathname + a.search);
  place.value = read();
});
