// Refused questions grouped by the answer that was most likely meant.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { countRefusals } from '../inbox';
import { href } from '../place';
import { post } from '../server';
import type { Suggestion } from '../types';
import { useLoad } from '../load';
import { later } from '../undo';
import { cut, many } from '../words';
import { Card } from './basic';
import { Await, Empty } from './state';

const keyOf = (s: Suggestion): string => s.topic + '\0' + s.response;

export function Suggestions(): VNode {
  const load = useLoad<{ suggestions: Suggestion[] }>('/api/suggestions');
  const [done, setDone] = useState<Set<string>>(new Set());
  const accept = (s: Suggestion, out: Set<string>): void => {
    const prompts = s.groups.filter((g) => !out.has(g.id)).flatMap((g) => [g.prompt, ...g.variants]);
    setDone((d) => new Set(d).add(keyOf(s)));
    later(`${many(prompts.length, 'question')} get “${cut(s.response, 50)}”.`, async () => {
      await post('/api/lessons', { lessons: [...new Set(prompts)].map((prompt) => ({ prompt, response: s.response, ...(s.topic && { topic: s.topic }) })) });
      countRefusals();
    }, () => setDone((d) => { const n = new Set(d); n.delete(keyOf(s)); return n; }));
  };
  return (
    <Await load={load} what="the suggestions" empty={(d) => (d.suggestions.some((s) => !done.has(keyOf(s))) ? null : <Empty title="No suggestion">A suggestion needs at least two refused questions with the same most similar answer.</Empty>)}>
      {(d) => <div class="stack" id="suggestions">{d.suggestions.filter((s) => !done.has(keyOf(s))).map((s) => <One key={keyOf(s)} s={s} onAccept={(out) => accept(s, out)} />)}</div>}
    </Await>
  );
}

function One({ s, onAccept }: { s: Suggestion; onAccept: (out: Set<string>) => void }): VNode {
  const [out, setOut] = useState<Set<string>>(new Set());
  const n = s.groups.length - out.size;
  return (
    <Card title={cut(s.response, 200)} aside={<small>{s.topic}</small>}>
      <p class="soft">Asked {many(s.count, 'time')}. <a href={href('answers', { id: s.answer_id })}>Open the answer</a></p>
      <ul class="rows">
        {s.groups.map((g) => (
          <li key={g.id}>
            <label class="check"><input type="checkbox" checked={!out.has(g.id)} onChange={(e) => {
              const on = e.currentTarget.checked;
              setOut((o) => { const set = new Set(o); if (on) set.delete(g.id); else set.add(g.id); return set; });
            }} /> <span>{g.prompt}{g.variants.length > 0 && <small>and {many(g.variants.length, 'other wording')}</small>}</span></label>
            <small>{g.count}×</small>
          </li>
        ))}
      </ul>
      <button type="button" class="main" disabled={!n} onClick={() => onAccept(out)}>Accept {n === s.groups.length ? 'all' : ''} {many(n, 'question')} as phrasings</button>
    </Card>
  );
}
