// What a page loads from the server, with the states that it can be in.
import type { RefObject } from 'preact';
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Fault, get, locked } from './server';
import { returns } from './live';

export interface Load<T> {
  data: T | null;
  from: string | null; // the path that data came from
  fault: Fault | null;
  loading: boolean;
  again: () => void;
  set: (change: (old: T) => T) => void;
}

// useLoad loads a path; null loads nothing. What was loaded stays on the page
// while it is loaded again. After a lost connection it is loaded again by itself.
export function useLoad<T>(path: string | null): Load<T> {
  const [data, setData] = useState<T | null>(null);
  const [from, setFrom] = useState<string | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  const [loading, setLoading] = useState(path !== null);
  const [turn, setTurn] = useState(0);
  const shown = useRef<string | null>(null);
  const back = returns.value;
  const closed = locked.value;
  useEffect(() => {
    if (path === null || closed) return;
    const stop = new AbortController();
    if (shown.current !== path) {
      // Another filter of the same list may keep the old rows until the new come.
      if (shown.current?.split('?')[0] !== path.split('?')[0]) setData(null);
      shown.current = path;
    }
    setLoading(true);
    get<T>(path, stop.signal).then((d) => {
      setData(d);
      setFrom(path);
      setFault(null);
      setLoading(false);
    }, (e: unknown) => {
      if (stop.signal.aborted) return;
      setFault(e instanceof Fault ? e : new Fault(0, { detail: String(e) }));
      setLoading(false);
    });
    return () => stop.abort();
  }, [path, turn, back, closed]);
  const again = useCallback(() => setTurn((t) => t + 1), []);
  const set = useCallback((change: (old: T) => T) => setData((d) => (d === null ? d : change(d))), []);
  return { data: path === null ? null : data, from, fault: path === null ? null : fault, loading, again, set };
}

// useLater gives a value that follows another when it rests, for search boxes.
export function useLater<T>(value: T, ms = 200): T {
  const [late, setLate] = useState(value);
  useEffect(() => {
    const t = setTimeout(() => setLate(value), ms);
    return () => clearTimeout(t);
  }, [value, ms]);
  return late;
}

export function useTitle(title: string): void {
  useEffect(() => { document.title = title + ' · NEXUS'; }, [title]);
}

// useFocus gives the focus to what has just appeared, once.
export function useFocus<E extends HTMLElement>(): RefObject<E | null> {
  const box = useRef<E>(null);
  useLayoutEffect(() => box.current?.focus(), []);
  return box;
}

// useKeys listens for keys while nobody types.
export function useKeys(on: (key: string, ev: KeyboardEvent) => boolean): void {
  const latest = useRef(on);
  latest.current = on;
  useLayoutEffect(() => { // a page that is seen hears keys
    const hear = (ev: KeyboardEvent): void => {
      if (ev.ctrlKey || ev.metaKey || ev.altKey) return;
      const t = ev.target as HTMLElement;
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName) || t.isContentEditable;
      if (typing && ev.key !== 'Escape') return;
      if (document.querySelector('dialog[open]')) return;
      if (latest.current(ev.key, ev)) ev.preventDefault();
    };
    document.addEventListener('keydown', hear);
    return () => document.removeEventListener('keydown', hear);
  }, []);
}
