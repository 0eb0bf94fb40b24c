// Talking to the server: one function for requests, one for event streams.
import { signal } from '@preact/signals';

// locked says that the server wants to know who is there.
export const locked = signal(false);

export class Fault extends Error {
  status: number;
  code: string;
  field: string;
  body: Record<string, unknown>;
  constructor(status: number, body: Record<string, unknown>) {
    super(String(body.detail ?? `The server answered with status ${status}.`));
    this.status = status;
    this.code = String(body.code ?? '');
    this.field = String(body.field ?? '');
    this.body = body;
  }
}

// token is what the server wants to see with a change; the session itself is in
// a cookie that no script can read.
export const token = (): string => /(?:^|; )XSRF-TOKEN=([^;]*)/.exec(document.cookie)?.[1] ?? '';

function headers(more: Record<string, string>): Record<string, string> {
  const h: Record<string, string> = { Accept: 'application/json', ...more };
  const t = token();
  if (t) h['X-CSRF-Token'] = t;
  return h;
}

interface Sent {
  method?: string;
  json?: unknown;
  body?: BodyInit;
  type?: string; // of body
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

// leaving says that this page is being left or closed. What it still changes is sent
// so that it outlives the page; a browser takes 64 KB of such requests.
let leaving = false;
addEventListener('pagehide', () => { leaving = true; });
addEventListener('pageshow', () => { leaving = false; });
const outlives = (s: Sent, body: BodyInit | undefined): boolean => leaving && s.method !== undefined && (typeof body !== 'string' || body.length < 20_000);

// inTurn does one thing after the other; on a page that is being left, which runs no
// further, all at once.
export async function inTurn(acts: (() => Promise<unknown>)[]): Promise<void> {
  if (leaving) await Promise.all(acts.map((a) => a()));
  else for (const a of acts) await a();
}

async function send(path: string, s: Sent = {}): Promise<Response> {
  const h = headers(s.headers ?? {});
  let body = s.body;
  if (s.json !== undefined) {
    body = JSON.stringify(s.json);
    h['Content-Type'] = 'application/json';
  } else if (s.type) h['Content-Type'] = s.type;
  let res: Response;
  try {
    res = await fetch(path, { method: s.method ?? 'GET', headers: h, body, cache: 'no-store', signal: s.signal, keepalive: outlives(s, body) });
  } catch (e) {
    if (s.signal?.aborted) throw e;
    throw new Fault(0, { detail: 'The server cannot be reached.', code: 'unreachable' });
  }
  if (res.ok) return res;
  const data = await res.json().catch(() => ({}));
  if (res.status === 401) locked.value = true;
  throw new Fault(res.status, data as Record<string, unknown>);
}

// call sends a request and reads the JSON that comes back.
export async function call<T>(path: string, s: Sent = {}): Promise<T> {
  const res = await send(path, s);
  if (res.status === 204) return undefined as T;
  return await res.json() as T;
}

export const get = <T>(path: string, signal?: AbortSignal): Promise<T> => call<T>(path, { signal });
export const post = <T>(path: string, json: unknown, more: Sent = {}): Promise<T> => call<T>(path, { method: 'POST', json, ...more });
export const del = <T>(path: string, more: Sent = {}): Promise<T> => call<T>(path, { method: 'DELETE', ...more });
export const control = <T = unknown>(action: string, more: Record<string, unknown> = {}): Promise<T> => post<T>('/api/control', { action, ...more });

// download hands a file of the server to the reader.
export async function download(path: string, name: string): Promise<void> {
  const blob = await (await send(path, { headers: { Accept: '*/*' } })).blob();
  const a = document.createElement('a');
  a.href = URL.createObjectURL(blob);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 60_000);
}

export interface Told { event: string; id: string; data: string }

// stream reads Server-Sent Events until the stream ends or signal aborts. It is
// fetch and not EventSource, which can send no key and hides why it failed.
export async function stream(path: string, on: (e: Told) => void, signal: AbortSignal, silence = 40_000): Promise<void> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  signal.addEventListener('abort', end);
  // A page that is left may live on for the Back button. Its streams must not:
  // a browser has six connections for each server.
  addEventListener('pagehide', end);
  let watchdog = setTimeout(end, silence);
  try {
    const res = await send(path, { headers: { Accept: 'text/event-stream' }, signal: stop.signal });
    const reader = res.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(end, silence);
      rest += value;
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      for (const b of blocks) tell(b, on);
    }
  } finally {
    clearTimeout(watchdog);
    signal.removeEventListener('abort', end);
    removeEventListener('pagehide', end);
  }
}

function tell(block: string, on: (e: Told) => void): void {
  const t: Told = { event: 'message', id: '', data: '' };
  for (const line of block.split('\n')) {
    const at = line.indexOf(':');
    if (at < 1) continue;
    const value = line.slice(at + 1).replace(/^ /, '');
    const name = line.slice(0, at);
    if (name === 'event') t.event = value;
    else if (name === 'id') t.id = value;
    else if (name === 'data') t.data += (t.data ? '\n' : '') + value;
  }
  if (t.data) on(t);
}
