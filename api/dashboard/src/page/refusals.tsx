import type { VNode } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { countRefusals, openRefusals } from '../inbox';
import { status } from '../live';
import { href, param, view } from '../place';
import { del, post } from '../server';
import type { Answer, Lesson, Refusal } from '../types';
import { useKeys, useLater, useLoad } from '../load';
import { path, useList } from '../list';
import { topicNames } from '../topics';
import { later } from '../undo';
import { ago, count, cut, many, reasonOf } from '../words';
import { Card, Field, Head, KeyHelp, More, Tag, TopicPick } from '../part/basic';
import { Await, Empty } from '../part/state';

const idOf = (r: Refusal): string => r.id ?? r.interactions[0] ?? r.prompt;

// A candidate is an answer that may have been meant.
interface Candidate { id: string; response: string | null; topic: string; because: string }

export function Refusals(): VNode {
  const topic = param('topic'), reason = param('reason');
  const list = useList<Refusal>('/api/refusals', 'refusals');
  const [done, setDone] = useState<Set<string>>(new Set());
  const [teaching, setTeaching] = useState(false);
  const [help, setHelp] = useState(false);
  const open = list.items.filter((r) => !done.has(idOf(r)) && (!topic || r.topic === topic) && (!reason || r.reason === reason));
  const at = Math.max(0, open.findIndex((r) => idOf(r) === param('at')));
  const now = open[at];
  useEffect(() => setTeaching(false), [now && idOf(now)]);
  useEffect(() => { if (list.data) openRefusals.value = list.items.filter((r) => !done.has(idOf(r))).length; }, [list.data, done]);

  // Near the end of what is loaded, the next part comes by itself.
  useEffect(() => { if (list.next && open.length - at < 10) list.more(); }, [at, open.length, list.next]);

  const move = (by: number): void => {
    const to = open[Math.max(0, Math.min(open.length - 1, at + by))];
    if (to) view({ at: idOf(to) });
  };
  // settle takes a group off the list, goes on to the next, and does the rest
  // once it cannot be undone any more.
  const settle = (r: Refusal, text: string, act: () => Promise<unknown>): void => {
    const id = idOf(r), next = open[at + 1] ?? open[at - 1];
    setDone((d) => new Set(d).add(id));
    view({ at: next ? idOf(next) : null });
    later(text, async () => { await act(); countRefusals(); }, () => {
      setDone((d) => { const s = new Set(d); s.delete(id); return s; });
      view({ at: id });
    });
  };
  const gone = (r: Refusal): Promise<unknown> => (r.id ? del('/api/refusals/' + encodeURIComponent(r.id)) : post(`/api/interactions/${encodeURIComponent(r.interactions[0])}/feedback`, { correct: true }));
  const prompts = (r: Refusal): string[] => [...new Set([r.prompt, ...r.variants])];
  const teach = (r: Refusal, response: string | null, about: string): Promise<unknown> =>
    post('/api/lessons', { lessons: prompts(r).map((prompt) => ({ prompt, response, ...(about && { topic: about }) })) });

  const acts = {
    dismiss: (r: Refusal) => settle(r, `Dismissed “${cut(r.prompt, 50)}”.`, () => gone(r)),
    refuse: (r: Refusal) => settle(r, `“${cut(r.prompt, 50)}” is refused always.`, () => teach(r, null, r.topic ?? '')),
    same: (r: Refusal, c: Candidate) => settle(r, `“${cut(r.prompt, 40)}” gets “${cut(c.response ?? '', 40)}”.`, () => teach(r, c.response, c.topic)),
    teach: (r: Refusal, response: string, about: string) => settle(r, `“${cut(r.prompt, 50)}” is taught.`, () => teach(r, response, about)),
  };

  const near = useNear(now);
  useKeys((key) => {
    switch (key) {
      case 'j': case 'ArrowDown': move(1); return true;
      case 'k': case 'ArrowUp': move(-1); return true;
      case '?': setHelp(true); return true;
      case 'Escape': if (teaching) { setTeaching(false); return true; } return false;
    }
    if (!now) return false;
    if (key === 'Enter' && !/^(BUTTON|A|SUMMARY)$/.test(document.activeElement?.tagName ?? '')) { setTeaching(true); return true; }
    if (key === 'd' || key === 'x') { acts.dismiss(now); return true; }
    if (key === 'r') { acts.refuse(now); return true; }
    const c = near.found[Number(key) - 1];
    if (/^[1-9]$/.test(key) && c) { acts.same(now, c); return true; }
    return false;
  });

  const reasons = useMemo(() => [...new Set(list.items.map((r) => r.reason).filter(Boolean))].sort(), [list.items.length]);
  return (
    <>
      <Head title="Refusals" lead="What people asked and did not get, most asked first. Each group goes once it is settled.">
        <button type="button" onClick={() => setHelp(true)} aria-label="Show the keys"><kbd>?</kbd> Keys</button>
      </Head>
      <div class="filters">
        <TopicPick value={topic} topics={topicNames()} onPick={(t) => view({ topic: t, at: null })} />
        <select aria-label="Reason" value={reason} onChange={(e) => view({ reason: e.currentTarget.value, at: null })}>
          <option value="">Any reason</option>
          {reasons.map((r) => <option key={r} value={r}>{reasonOf(r)}</option>)}
        </select>
        <span class="gap" />
        <span class="soft" role="status" id="left">{list.data ? `${many(open.length, 'group')} to settle${list.next ? ', and more' : ''}` : ''}</span>
      </div>
      <Await load={list} what="the refused prompts" empty={() => (open.length ? null : <AllDone filtered={Boolean(topic || reason)} />)}>
        {() => (
          <div class="split opened inbox">
            <ol class="cards" id="groups" aria-label="Refused prompts">
              {open.map((r, i) => (
                <li key={idOf(r)}>
                  <a class="pickable" href={href('refusals', { topic, reason, at: idOf(r) })} aria-current={i === at ? 'true' : undefined} ref={(el) => { if (i === at) el?.scrollIntoView?.({ block: 'nearest' }); }}>
                    <span class="times" aria-label={`asked ${many(r.count, 'time')}`}>{count(r.count)}×</span>
                    <b>{r.prompt}</b>
                    <small>{reasonOf(r.reason)}{r.topic && ` · ${r.topic}`}</small>
                  </a>
                </li>
              ))}
              <More next={list.next} onMore={list.more} />
            </ol>
            {now && (
              <Card class="pane" key={idOf(now)}>
                <p class="soft">Asked {many(now.count, 'time')}, last {ago(now.last_at)} <Tag kind="warn">{reasonOf(now.reason)}</Tag></p>
                <h2 class="prompt" id="group">{now.prompt}</h2>
                {now.variants.length > 0 && <details open={now.variants.length < 4}><summary>{many(now.variants.length, 'other wording')}</summary><ul class="rows">{now.variants.map((v) => <li key={v}><span>{v}</span></li>)}</ul></details>}
                <div class="line">
                  <button type="button" class="main" id="teachgroup" aria-expanded={teaching} onClick={() => setTeaching(!teaching)}>Teach the answer <kbd>Enter</kbd></button>
                  <button type="button" id="refusegroup" onClick={() => acts.refuse(now)}>Refuse always <kbd>R</kbd></button>
                  <button type="button" id="dismissgroup" onClick={() => acts.dismiss(now)}>Dismiss <kbd>D</kbd></button>
                </div>
                {teaching && <TeachForm r={now} onTeach={(text, about) => acts.teach(now, text, about)} onCancel={() => setTeaching(false)} />}
                <Near near={near} onPick={(c) => acts.same(now, c)} />
              </Card>
            )}
          </div>
        )}
      </Await>
      {help && <KeyHelp onClose={() => setHelp(false)} keys={[['J', 'the next group'], ['K', 'the one before'], ['Enter', 'teach the answer'], ['1 … 9', 'this is that answer'], ['R', 'refuse always'], ['D', 'dismiss'], ['U', 'undo the last one'], ['Esc', 'close'], ['?', 'show the keys']]} />}
    </>
  );
}

function AllDone({ filtered }: { filtered: boolean }): VNode {
  if (filtered) return <Empty title="No group matches">Choose another topic or reason.</Empty>;
  const asked = status.value?.metrics.requests;
  return <Empty title="Nothing to settle">{asked && asked.answered + asked.refused ? 'Everything that was asked is answered, taught or dismissed.' : <>Nobody has asked yet. <a href={href('ask')}>Ask something</a></>}</Empty>;
}

function TeachForm({ r, onTeach, onCancel }: { r: Refusal; onTeach: (text: string, topic: string) => void; onCancel: () => void }): VNode {
  const [text, setText] = useState('');
  const [topic, setTopic] = useState(r.topic ?? '');
  const n = 1 + r.variants.filter((v) => v !== r.prompt).length;
  const send = (): void => { if (text.trim()) onTeach(text.trim(), topic.trim()); };
  return (
    <form class="stack" onSubmit={(e) => { e.preventDefault(); send(); }}>
      <Field label={`The answer to ${n === 1 ? 'it' : `all ${n} wordings`}`}>
        <textarea id="groupanswer" rows={3} value={text} ref={(el) => el?.focus()} onInput={(e) => setText(e.currentTarget.value)} onKeyDown={(e) => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); send(); } }} />
      </Field>
      <div class="line">
        <Field label="Topic" class="inline"><input value={topic} list="grouptopics" maxLength={128} onInput={(e) => setTopic(e.currentTarget.value)} /></Field>
        <datalist id="grouptopics">{topicNames().map((t) => <option key={t} value={t} />)}</datalist>
        <span class="gap" />
        <button type="button" class="plain" onClick={onCancel}>Cancel</button>
        <button type="submit" class="main" id="teachnow" disabled={!text.trim()}>Teach <kbd>Ctrl</kbd> <kbd>Enter</kbd></button>
      </div>
    </form>
  );
}

interface Found { found: Candidate[]; loading: boolean; search: string; setSearch: (s: string) => void }

// useNear finds the answers that may have been meant: those that the server
// names, else those whose phrasings share words with the prompt.
function useNear(r: Refusal | undefined): Found {
  const [search, setSearch] = useState('');
  const id = r ? idOf(r) : '';
  const late = useLater(search, 150);
  useEffect(() => setSearch(''), [id]);
  const words = useMemo(() => (r ? telling(r.prompt) : ''), [id]);
  const named = r?.nearest;
  const q = late || (named?.length ? '' : words);
  const answers = useLoad<{ answers: Answer[] }>(r && q ? path('/api/answers', { q, limit: 9 }) : null);
  const lessons = useLoad<{ lessons: Lesson[] }>(r && q && answers.fault ? path('/api/lessons', { q, limit: 9 }) : null);
  let found: Candidate[] = [];
  if (!late && named?.length) found = named.map((n, i) => ({ id: n.answer_id ?? n.lesson_id ?? String(i), response: n.response ?? null, topic: n.topic ?? '', because: n.prompt ?? '' }));
  else if (answers.data) found = answers.data.answers.map((a) => ({ id: a.id, response: a.response, topic: a.topic, because: a.lessons[0]?.prompt ?? '' }));
  else if (lessons.data) found = lessons.data.lessons.map((l) => ({ id: l.id, response: l.response, topic: l.topic, because: l.prompt }));
  const seen = new Set<string>();
  found = found.filter((c) => c.response !== null && !seen.has(c.topic + '\0' + c.response) && seen.add(c.topic + '\0' + c.response)).slice(0, 9);
  return { found, loading: answers.loading && q !== '' && !answers.fault, search, setSearch };
}

// telling picks the longest word of a prompt: the search wants every word that it
// is given, and the longest is most likely to tell what is meant.
function telling(prompt: string): string {
  const words = prompt.toLowerCase().match(/[\p{L}\p{N}]{4,}/gu) ?? [];
  return words.sort((a, b) => b.length - a.length)[0] ?? prompt;
}

function Near({ near, onPick }: { near: Found; onPick: (c: Candidate) => void }): VNode {
  const box = useRef<HTMLInputElement>(null);
  return (
    <div class="near">
      <div class="cardhead"><h3>Or is it one of these answers?</h3></div>
      <input ref={box} class="search" type="search" aria-label="Search an answer that was meant" placeholder="Search another answer" value={near.search} onInput={(e) => near.setSearch(e.currentTarget.value)}
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
      {!near.found.length && <p class="hint">{near.loading ? 'Looking…' : 'No answer is near.'}</p>}
    </div>
  );
}
