// Undo instead of "are you sure": what was asked for is shown as done and sent
// a few seconds later, so that undoing it is exact.
import { signal } from '@preact/signals';
import { say } from './words';

export const grace = 6000; // ms

export interface Note {
  id: number;
  text: string;
  kind: 'plain' | 'good' | 'bad';
  undo?: () => void;
}

export const notes = signal<Note[]>([]);

interface Waiting { id: number; act: () => Promise<unknown>; undo: () => void; timer: number }

const waiting: Waiting[] = [];
let last = 0;

export function dismiss(id: number): void {
  notes.value = notes.value.filter((n) => n.id !== id);
}

export function tell(text: string, kind: Note['kind'] = 'plain', ms = 5000, undo?: () => void): void {
  const id = ++last;
  const back = undo && ((): void => { dismiss(id); undo(); });
  notes.value = [...notes.value.slice(-3), { id, text, kind, undo: back }];
  setTimeout(() => dismiss(id), kind === 'bad' ? 12_000 : ms);
}

// later does something after the grace time unless it is undone before.
// undo puts the page back; it is called too when the server refuses.
export function later(text: string, act: () => Promise<unknown>, undo: () => void): void {
  const id = ++last;
  const w: Waiting = { id, act, undo, timer: window.setTimeout(() => void finish(w), grace) };
  waiting.push(w);
  notes.value = [...notes.value.slice(-3), { id, text, kind: 'plain', undo: () => take(w) }];
}

function take(w: Waiting): void {
  const at = waiting.indexOf(w);
  if (at < 0) return;
  waiting.splice(at, 1);
  clearTimeout(w.timer);
  dismiss(w.id);
  w.undo();
}

async function finish(w: Waiting): Promise<void> {
  const at = waiting.indexOf(w);
  if (at < 0) return;
  waiting.splice(at, 1);
  clearTimeout(w.timer);
  dismiss(w.id);
  try {
    await w.act();
  } catch (e) {
    w.undo();
    tell('That did not work: ' + say(e), 'bad');
  }
}

// undoLast takes back the newest of what waits.
export function undoLast(): boolean {
  const n = notes.value.findLast((x) => x.undo);
  n?.undo?.();
  return n !== undefined;
}

// Whoever closes the page meant what was done on it.
addEventListener('pagehide', () => { for (const w of [...waiting]) void finish(w); });

// attempt does something at once and says so if it fails.
export async function attempt<T>(act: () => Promise<T>, done?: string): Promise<T | undefined> {
  try {
    const out = await act();
    if (done) tell(done, 'good');
    return out;
  } catch (e) {
    tell(say(e), 'bad');
    return undefined;
  }
}
