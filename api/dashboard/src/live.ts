// The state of the cluster, as the server tells it whenever it changes.
import { computed, signal } from '@preact/signals';
import { Fault, locked, stream } from './server';
import type { Learning, Status } from './types';

export type Link = 'connecting' | 'live' | 'lost' | 'denied';

export const status = signal<Status | null>(null);
export const learning = signal<Learning | null>(null);
export const link = signal<Link>('connecting');
export const seenAt = signal(0); // when the last event came
export const why = signal(''); // of a lost or denied connection
// returns counts the times that a lost connection came back; what was loaded
// before is then loaded again.
export const returns = signal(0);
export const stale = computed(() => link.value === 'lost' && status.value !== null);
// outdated says that the server runs another version than this page came from.
export const outdated = signal(false);

export const recent = { rate: [] as number[], latency: [] as number[] };

function remember(list: number[], v: number): void {
  list.push(v);
  if (list.length > 90) list.shift();
}

let attempt: AbortController | null = null;
let wait = 0;
let waiting: (() => void) | null = null;
let version = '';

function take(event: string, data: string): void {
  seenAt.value = Date.now();
  if (link.value !== 'live') {
    if (link.value === 'lost') returns.value++;
    link.value = 'live';
  }
  wait = 0;
  if (event === 'learning') learning.value = JSON.parse(data) as Learning;
  if (event !== 'status') return;
  const s = JSON.parse(data) as Status;
  if (version && s.daemon.version !== version) outdated.value = true;
  version = s.daemon.version;
  remember(recent.rate, s.metrics.requests.rate_per_second);
  remember(recent.latency, s.metrics.latency.request.p50_ms);
  status.value = s;
}

// reconnect tries at once.
export function reconnect(): void {
  wait = 0;
  if (link.value !== 'live') attempt?.abort();
  waiting?.();
}

export async function follow(): Promise<void> {
  for (;;) {
    await seen();
    attempt = new AbortController();
    try {
      await stream('/api/events', (e) => take(e.event, e.data), attempt.signal);
      lose('The server ended the connection.');
    } catch (e) {
      if (document.hidden || left) continue;
      if (e instanceof Fault && e.status === 401) link.value = 'connecting';
      else if (e instanceof Fault && e.status === 403) {
        link.value = 'denied';
        why.value = e.message;
      } else lose(e instanceof Fault ? e.message : 'The connection broke.');
    }
    wait = Math.min(wait ? wait * 2 : 500, 10_000);
    await rest(wait);
  }
}

// rest waits, and as long as the server wants a key.
async function rest(ms: number): Promise<void> {
  await new Promise<void>((go) => {
    const t = setTimeout(go, ms);
    waiting = () => { clearTimeout(t); go(); };
  });
  waiting = null;
  if (!locked.value) return;
  await new Promise<void>((go) => {
    const stop = locked.subscribe((is) => { if (!is) { queueMicrotask(() => stop()); go(); } });
  });
}

function lose(reason: string): void {
  link.value = 'lost';
  why.value = reason;
}

addEventListener('online', reconnect);

// A tab that nobody looks at lets its stream go after a moment, since a browser
// has only six connections for each server, and takes it up again when it is seen.
const patience = 10_000;
let left = false;
let leaving = 0;

function seen(): Promise<void> {
  if (!document.hidden && !left) return Promise.resolve();
  return new Promise((go) => {
    const look = (): void => {
      if (document.hidden || left) return;
      document.removeEventListener('visibilitychange', look);
      removeEventListener('pageshow', look);
      go();
    };
    document.addEventListener('visibilitychange', look);
    addEventListener('pageshow', look);
  });
}

document.addEventListener('visibilitychange', () => {
  clearTimeout(leaving);
  if (document.hidden) leaving = window.setTimeout(() => attempt?.abort(), patience);
  else if (link.value === 'lost') reconnect();
});
addEventListener('pagehide', () => { left = true; });
addEventListener('pageshow', () => { left = false; });
