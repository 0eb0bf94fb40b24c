import type { VNode } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { countRefusals, openRefusals } from '../inbox';
import { status } from '../live';
import { href, param, view } from '../place';
import { del, Fault, inTurn, post } from '../server';
import type { Refusal } from '../types';
import { useFocus, useKeys } from '../load';
import { path, useList } from '../list';
import { topicNames } from '../topics';
import { later } from '../undo';
import { ago, count, cut, many, reasonOf } from '../words';
import { Card, Field, Head, KeyHelp, More, Tag, TopicPick } from '../part/basic';
import { idOf, Near, useNear, type Candidate } from '../part/near';
import { Await, Empty } from '../part/state';
import { Suggestions } from '../part/suggestions';

type Kind = '' | 'wrong' | 'unsure' | 'suggested';

const kinds: { kind: Kind; name: string; lead: string; what: string }[] = [
  { kind: '', name: 'Refused', lead: 'Refused questions, most frequent first. A group disappears when it is settled.', what: 'the refused prompts' },
  { kind: 'suggested', name: 'Suggestions', lead: 'Refused questions grouped by the answer that was most likely meant. Accept them all at once, or leave some out.', what: 'the suggestions' },
  { kind: 'wrong', name: 'Marked wrong', lead: 'Answers that people marked as wrong. Such an answer is withheld from that question until you teach the right one.', what: 'the answers that were marked wrong' },
  { kind: 'unsure', name: 'Low confidence', lead: 'Answers that were barely confident enough to be given. Confirm them to make similar questions more certain.', what: 'the unsure answers' },
];

// Refusals is the inbox: one list for each kind of thing to look at.
export function Refusals(): VNode {
  const kind = (param('kind') as Kind) || '';
  const now = kinds.find((k) => k.kind === kind) ?? kinds[0];
  const [help, setHelp] = useState(false);
  useKeys((key) => { if (key !== '?') return false; setHelp(true); return true; });
  return (
    <>
      <Head title="Inbox" lead={now.lead}>
        <button type="button" onClick={() => setHelp(true)} aria-label="Show the keys"><kbd>?</kbd> Keys</button>
      </Head>
      <nav class="tabs" aria-label="What to look at">
        {kinds.map((k) => <a key={k.kind} href={href('refusals', { kind: k.kind })} aria-current={k.kind === now.kind ? 'page' : undefined}>{k.name}</a>)}
      </nav>
      {now.kind === 'suggested' ? <Suggestions /> : <Groups key={now.kind} kind={now.kind} what={now.what} />}
      {help && <KeyHelp onClose={() => setHelp(false)} keys={[['J', 'the next group'], ['K', 'the one before'], ['Enter', 'teach the answer'], ['1 … 9', 'this is that answer'], ['Y', 'the answer that was given is right'], ['R', 'always refuse'], ['D', 'dismiss'], ['U', 'undo the last one'], ['Esc', 'close'], ['?', 'show the keys']]} />}
    </>
  );
}

function Groups({ kind, what }: { kind: Kind; what: string }): VNode {
  const topic = param('topic'), reason = param('reason');
  const list = useList<Refusal>(kind ? path('/api/reviews', { kind }) : '/api/refusals', kind ? 'reviews' : 'refusals');
  const [done, setDone] = useState<Set<string>>(new Set());
  const open = list.items.filter((r) => !done.has(idOf(r)) && (!topic || r.topic === topic) && (!reason || r.reason === reason));
  const at = Math.max(0, open.findIndex((r) => idOf(r) === param('at')));
  const now = open[at];
  // The form belongs to one group: an Enter right after the last decision opens it for the next.
  const [taught, setTaught] = useState('');
  const teaching = now !== undefined && taught === idOf(now);
  const setTeaching = (on: boolean): void => setTaught(on && now ? idOf(now) : '');
  useEffect(() => { if (list.data && !kind) openRefusals.value = list.items.filter((r) => !done.has(idOf(r))).length; }, [list.data, done]);

  // Near the end of what is loaded, the next part comes by itself.
  useEffect(() => { if (list.next && open.length - at < 10) list.more(); }, [at, open.length, list.next]);

  // What is looked at stays in sight, and nothing scrolls while the reader does something else.
  useEffect(() => { document.querySelector('#groups [aria-current]')?.scrollIntoView({ block: 'nearest' }); }, [now && idOf(now)]);

  const move = (by: number): void => {
    const to = open[Math.max(0, Math.min(open.length - 1, at + by))];
    if (to) view({ at: idOf(to) });
  };
  // settle takes a group off the list, goes on to the next, and does the rest
  // once it cannot be undone any more.
  const settle = (r: Refusal, text: string, act: () => Promise<unknown>): void => {
    const id = idOf(r), next = open[at + 1] ?? open[at - 1];
    setDone((d) => new Set(d).add(id));
    setTaught('');
    view({ at: next ? idOf(next) : null });
    later(text, async () => { await act(); countRefusals(); }, () => {
      setDone((d) => { const s = new Set(d); s.delete(id); return s; });
      view({ at: id });
    });
  };
  const gone = (r: Refusal): Promise<unknown> => (kind ? del(path('/api/reviews/' + encodeURIComponent(r.id ?? ''), { kind })).catch(unlessGone)
    : r.id ? del('/api/refusals/' + encodeURIComponent(r.id)) : post(`/api/interactions/${encodeURIComponent(r.interactions[0])}/feedback`, { correct: true }));
  const prompts = (r: Refusal): string[] => [...new Set([r.prompt, ...r.variants])];
  const teach = async (r: Refusal, response: string | null, about: string): Promise<void> => {
    const lessons = prompts(r).map((prompt) => ({ prompt, response, ...(about && { topic: about }) }));
    await inTurn([() => post('/api/lessons', { lessons }), ...(kind ? [() => gone(r)] : [])]); // a refused group goes by itself when it is answered
  };

  const acts = {
    dismiss: (r: Refusal) => settle(r, `Dismissed “${cut(r.prompt, 50)}”.`, () => gone(r)),
    refuse: (r: Refusal) => settle(r, `“${cut(r.prompt, 50)}” will always be refused.`, () => teach(r, null, r.topic ?? '')),
    same: (r: Refusal, c: Candidate) => settle(r, `“${cut(r.prompt, 40)}” gets “${cut(c.response ?? '', 40)}”.`, () => teach(r, c.response, c.topic)),
    right: (r: Refusal) => settle(r, `“${cut(r.response ?? '', 50)}” is right.`, () => (kind === 'unsure' ? teach(r, r.response ?? '', r.topic ?? '')
      : post(`/api/interactions/${encodeURIComponent(r.interactions[0])}/feedback`, { correct: true }))),
    teach: (r: Refusal, response: string, about: string) => settle(r, `“${cut(r.prompt, 50)}” is taught.`, () => teach(r, response, about)),
  };

  const near = useNear(now);
  useKeys((key) => {
    switch (key) {
      case 'j': case 'ArrowDown': move(1); return true;
      case 'k': case 'ArrowUp': move(-1); return true;
      case 'Escape': if (teaching) { setTeaching(false); return true; } return false;
    }
    if (!now) return false;
    if (key === 'Enter' && !/^(BUTTON|A|SUMMARY)$/.test(document.activeElement?.tagName ?? '')) { setTeaching(true); return true; }
    if (key === 'd' || key === 'x') { acts.dismiss(now); return true; }
    if (key === 'y' && kind) { acts.right(now); return true; }
    if (key === 'r') { acts.refuse(now); return true; }
    const c = near.found[Number(key) - 1];
    if (/^[1-9]$/.test(key) && c) { acts.same(now, c); return true; }
    return false;
  });

  const reasons = useMemo(() => [...new Set(list.items.map((r) => r.reason).filter(Boolean))].sort(), [list.items.length]);
  return (
    <>
      <div class="filters">
        <TopicPick value={topic} topics={topicNames()} onPick={(t) => view({ topic: t, at: null })} />
        {!kind && (
          <select aria-label="Reason" value={reason} onChange={(e) => view({ reason: e.currentTarget.value, at: null })}>
            <option value="">Any reason</option>
            {reasons.map((r) => <option key={r} value={r}>{reasonOf(r)}</option>)}
          </select>
        )}
        <span class="gap" />
        <span class="soft" role="status" id="left">{list.data ? `${many(open.length, 'group')} to review${list.next ? ', and more' : ''}` : ''}</span>
      </div>
      <Await load={list} what={what} empty={() => (open.length ? null : <AllDone kind={kind} filtered={Boolean(topic || reason)} />)}>
        {() => (
          <div class="split opened inbox">
            <ol class="cards" id="groups" aria-label="Groups to review">
              {open.map((r, i) => (
                <li key={idOf(r)}>
                  <a class="pickable" href={href('refusals', { kind, topic, reason, at: idOf(r) })} aria-current={i === at ? 'true' : undefined}>
                    <span class="times" aria-label={`asked ${many(r.count, 'time')}`}>{count(r.count)}×</span>
                    <b>{r.prompt}</b>
                    <small>{kind ? cut(r.response ?? '', 90) : reasonOf(r.reason)}{r.topic && ` · ${r.topic}`}</small>
                  </a>
                </li>
              ))}
              <More next={list.next} onMore={list.more} item />
            </ol>
            {now && (
              <Card class="pane" key={idOf(now)}>
                <p class="soft">Asked {many(now.count, 'time')}, last {ago(now.last_at)} {!kind && <Tag kind="warn">{reasonOf(now.reason)}</Tag>}</p>
                <h2 class="prompt" id="group">{now.prompt}</h2>
                {now.variants.length > 0 && <details open={now.variants.length < 4}><summary>{many(now.variants.length, 'other wording')}</summary><ul class="rows">{now.variants.map((v) => <li key={v}><span>{v}</span></li>)}</ul></details>}
                {kind && (
                  <div class="given" id="given">
                    <p>{now.response}</p>
                    <small>{kind === 'wrong' ? 'was marked wrong' : 'was given'} with confidence {(now.confidence ?? 0).toFixed(3)}, threshold {(now.threshold ?? 0).toFixed(3)}</small>
                  </div>
                )}
                <div class="line">
                  {kind === 'unsure' && <button type="button" class="main" id="rightgroup" onClick={() => acts.right(now)}>That is right <kbd>Y</kbd></button>}
                  <button type="button" class={kind === 'unsure' ? '' : 'main'} id="teachgroup" aria-expanded={teaching} onClick={() => setTeaching(!teaching)}>Teach the answer <kbd>Enter</kbd></button>
                  <button type="button" id="refusegroup" onClick={() => acts.refuse(now)}>Always refuse <kbd>R</kbd></button>
                  {kind === 'wrong' && <button type="button" id="rightgroup" onClick={() => acts.right(now)}>It was right <kbd>Y</kbd></button>}
                  <button type="button" id="dismissgroup" onClick={() => acts.dismiss(now)}>Dismiss <kbd>D</kbd></button>
                </div>
                {teaching && <TeachForm r={now} onTeach={(text, about) => acts.teach(now, text, about)} onCancel={() => setTeaching(false)} />}
                <Near near={near} onPick={(c) => acts.same(now, c)} />
              </Card>
            )}
          </div>
        )}
      </Await>
    </>
  );
}

// What somebody else settled meanwhile is settled.
function unlessGone(e: unknown): void {
  if (!(e instanceof Fault && e.status === 404)) throw e;
}

function AllDone({ kind, filtered }: { kind: Kind; filtered: boolean }): VNode {
  if (filtered) return <Empty title="No group matches">Choose another topic or reason.</Empty>;
  if (kind === 'wrong') return <Empty title="Nothing to review">No wrong answers to review.</Empty>;
  if (kind === 'unsure') return <Empty title="Nothing to review">No uncertain answers to review.</Empty>;
  const asked = status.value?.metrics.requests;
  return <Empty title="Nothing to review">{asked && asked.answered + asked.refused ? 'No open questions.' : <>Nobody has asked yet. <a href={href('ask')}>Ask something</a></>}</Empty>;
}

function TeachForm({ r, onTeach, onCancel }: { r: Refusal; onTeach: (text: string, topic: string) => void; onCancel: () => void }): VNode {
  const [text, setText] = useState('');
  const [topic, setTopic] = useState(r.topic ?? '');
  const box = useFocus<HTMLTextAreaElement>();
  const n = 1 + r.variants.filter((v) => v !== r.prompt).length;
  const send = (): void => { if (text.trim()) onTeach(text.trim(), topic.trim()); };
  return (
    <form class="stack" onSubmit={(e) => { e.preventDefault(); send(); }}>
      <Field label={`The answer to ${n === 1 ? 'it' : `all ${n} wordings`}`}>
        <textarea id="groupanswer" rows={3} value={text} ref={box} onInput={(e) => setText(e.currentTarget.value)} onKeyDown={(e) => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); send(); } }} />
      </Field>
      <div class="line">
        <Field label="Topic" class="inline"><input id="grouptopic" value={topic} list="grouptopics" maxLength={128} onInput={(e) => setTopic(e.currentTarget.value)} /></Field>
        <datalist id="grouptopics">{topicNames().map((t) => <option key={t} value={t} />)}</datalist>
        <span class="gap" />
        <button type="button" class="plain" onClick={onCancel}>Cancel</button>
        <button type="submit" class="main" id="teachnow" disabled={!text.trim()}>Teach <kbd>Ctrl</kbd> <kbd>Enter</kbd></button>
      </div>
    </form>
  );
}
