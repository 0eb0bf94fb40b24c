// Lists that come in pages.
import { useEffect, useRef, useState } from 'preact/hooks';
import { get } from './server';
import { useLoad, type Load } from './load';
import { attempt } from './undo';

export interface List<T> extends Load<Record<string, unknown>> {
  items: T[];
  next: string | null;
  more: () => void;
  change: (f: (items: T[]) => T[]) => void;
}

// useList loads the first page of path, whose items are under name, and more on
// demand. change alters what is shown, before the server knows.
export function useList<T>(path: string | null, name: string): List<T> {
  const load = useLoad<Record<string, unknown>>(path);
  const [rest, setRest] = useState<T[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const changed = useRef(false);
  const asked = useRef(''); // the cursor of the part that is on its way
  useEffect(() => {
    if (changed.current) { changed.current = false; return; }
    setRest([]);
    setNext((load.data?.next_cursor as string | null | undefined) ?? null);
  }, [load.data]);
  const items = [...((load.data?.[name] as T[] | undefined) ?? []), ...rest];
  return {
    ...load, items, next,
    more: () => {
      const part = path + '\0' + next;
      if (!path || !next || asked.current === part) return;
      asked.current = part;
      void attempt(async () => {
        const page = await get<Record<string, unknown>>(path + (path.includes('?') ? '&' : '?') + 'cursor=' + encodeURIComponent(next));
        setRest((old) => [...old, ...(page[name] as T[])]);
        setNext((page.next_cursor as string | null | undefined) ?? null);
      }).finally(() => { asked.current = ''; });
    },
    change: (f) => {
      changed.current = true;
      load.set((d) => ({ ...d, [name]: f(d[name] as T[]) }));
      setRest(f);
    },
  };
}

export function path(base: string, query: Record<string, string | number | null | undefined>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v !== null && v !== undefined && v !== '') q.set(k, String(v));
  const s = q.toString();
  return base + (s ? '?' + s : '');
}
