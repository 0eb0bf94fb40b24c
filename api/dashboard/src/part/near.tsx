// The answers that may have been meant by a prompt.
import type { VNode } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Answer, Lesson, Refusal } from '../types';
import { useLater, useLoad } from '../load';
import { path } from '../list';
import { cut } from '../words';

// A candidate is an answer that may have been meant.
export interface Candidate { id: string; response: string | null; topic: string; because: string }

export const idOf = (r: Refusal): string => r.id ?? r.interactions[0] ?? r.prompt;

export interface Found { found: Candidate[]; loading: boolean; search: string; setSearch: (s: string) => void }

// useNear finds the answers that may have been meant: those that the server
// names, else those whose phrasings share words with the prompt.
export function useNear(r: Refusal | undefined): Found {
  const [search, setSearch] = useState('');
  const id = r ? idOf(r) : '';
  const late = useLater(search, 150);
  useEffect(() => setSearch(''), [id]);
  const words = useMemo(() => (r ? telling(r.prompt) : ''), [id]);
  const named = r?.nearest;
  const q = late || (named?.length ? '' : words);
  const at = r && q ? path('/api/answers', { q, limit: 9 }) : null;
  const answers = useLoad<{ answers: Answer[] }>(at);
  const lessons = useLoad<{ lessons: Lesson[] }>(r && q && answers.fault ? path('/api/lessons', { q, limit: 9 }) : null);
  let found: Candidate[] = [];
  if (!late && named?.length) found = named.map((n, i) => ({ id: n.answer_id ?? n.lesson_id ?? String(i), response: n.response ?? null, topic: n.topic ?? '', because: n.prompt ?? '' }));
  else if (answers.data && answers.from === at) found = answers.data.answers.map((a) => ({ id: a.id, response: a.response, topic: a.topic, because: a.lessons[0]?.prompt ?? '' }));
  else if (lessons.data) found = lessons.data.lessons.map((l) => ({ id: l.id, response: l.response, topic: l.topic, because: l.prompt }));
  const seen = new Set<string>();
  found = found.filter((c) => c.response !== null && !(r?.kind === 'wrong' && c.response === r.response) && !seen.has(c.topic + '\0' + c.response) && seen.add(c.topic + '\0' + c.response)).slice(0, 9);
  return { found, loading: answers.loading && q !== '' && !answers.fault, search, setSearch };
}

// telling picks the longest word of a prompt: the search wants every word that it
// is given, and the longest is most likely to tell what is meant.
function telling(prompt: string): string {
  const words = prompt.toLowerCase().match(/[\p{L}\p{N}]{4,}/gu) ?? [];
  return words.sort((a, b) => b.length - a.length)[0] ?? prompt;
}

export function Near({ near, onPick }: { near: Found; onPick: (c: Candidate) => void }): VNode {
  const box = useRef<HTMLInputElement>(null);
  return (
    <div class="near">
      <div class="cardhead"><h3>Or is it one of these answers?</h3></div>
      <input ref={box} class="search" type="search" aria-label="Search answers" placeholder="Search for another answer" value={near.search} onInput={(e) => near.setSearch(e.currentTarget.value)}
        onKeyDown={(e) => { if (e.key === 'Enter' && near.found[0]) { e.preventDefault(); onPick(near.found[0]); } if (e.key === 'Escape') box.current?.blur(); }} />
      <ol class="candidates">
        {near.found.map((c, i) => (
          <li key={c.id}>
            <button type="button" onClick={() => onPick(c)}>
              <kbd>{i + 1}</kbd><span><b>{cut(c.response ?? '', 180)}</b><small>{c.because && `“${cut(c.because, 80)}”`}{c.topic && ` · ${c.topic}`}</small></span>
            </button>
          </li>
        ))}
      </ol>
      {!near.found.length && <p class="hint">{near.loading ? 'Looking…' : 'No similar answer was found.'}</p>}
    </div>
  );
}
