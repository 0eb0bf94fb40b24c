// What happened to an answer, with a way back.
import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ended, follow } from '../follow';
import { get, post } from '../server';
import type { Answer, Change, Job } from '../types';
import { useLoad } from '../load';
import { attempt, tell } from '../undo';
import { ago, cut, many, moment } from '../words';
import { Await } from './state';

const did: Record<Change['what'], string> = { taught: 'Taught', revised: 'Changed', moved: 'Moved', unlearned: 'Deleted' };

interface Props { id: string; at: string; version: string; open: boolean; onBack: (id: string) => void }

export function Changes({ id, at, version, open, onBack }: Props): VNode {
  const [shown, setShown] = useState(false);
  const load = useLoad<{ changes: Change[]; complete: boolean }>(shown || open ? at + '/history' : null);
  useEffect(load.again, [version]);
  const back = async (c: Change): Promise<void> => {
    const done = await attempt(async () => follow((await post<Job>(at + '/restore', { change: c.id })).id, () => undefined, (j) => ended(j) || j.progress.phase === 'memorised'));
    if (!done) return;
    tell('Restored. Phrasings added since then are kept.', 'good');
    onBack(await moved(id, c));
  };
  return (
    <details open={open} onToggle={(e) => setShown(e.currentTarget.open)} id="history">
      <summary>History</summary>
      {(shown || open) && (
        <Await load={load} what="the history">
          {(h) => (
            <>
              <ol class="rows changes">
                {h.changes.map((c, i) => (
                  <li key={c.id}>
                    <span>
                      <b>{did[c.what]}</b>{c.what === 'moved' && ` to ${c.topic || 'no topic'}`}{c.phrasings > 0 && `, ${many(c.phrasings, 'phrasing')}`}
                      <small title={moment(c.at)}>{ago(c.at)}{c.who && ` by ${c.who}`}</small>
                      {c.what === 'unlearned' ? <small>{c.prompts.join(' · ')}</small> : <span class="then">{c.refusal ? 'Refuses on purpose' : cut(c.response ?? '', 300)}</span>}
                    </span>
                    {c.what !== 'unlearned' && (i > 0 || open) && <button type="button" class="small" aria-label={`Restore the answer as it was ${ago(c.at)}`} onClick={() => void back(c)}>Restore</button>}
                  </li>
                ))}
              </ol>
              {!h.complete && <p class="hint">There is more than this list shows.</p>}
            </>
          )}
        </Await>
      )}
    </details>
  );
}

// moved finds the answer after it was put back: in another topic it has another id.
async function moved(id: string, c: Change): Promise<string> {
  try {
    return (await get<Answer>('/api/answers/' + encodeURIComponent(id))).id;
  } catch {
    const found = await get<{ answers: Answer[] }>('/api/answers?limit=5&topic=' + encodeURIComponent(c.topic) + '&q=' + encodeURIComponent(c.prompts[0] ?? '')).catch(() => null);
    return found?.answers.find((a) => a.lessons.some((l) => l.prompt === c.prompts[0]))?.id ?? id;
  }
}
