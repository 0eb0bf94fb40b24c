import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { href, param, view } from '../place';
import { call, del, Fault, post } from '../server';
import type { Answer, Job } from '../types';
import { useKeys, useLater, useLoad } from '../load';
import { path, useList } from '../list';
import { topicNames } from '../topics';
import { attempt, later, tell } from '../undo';
import { ago, many } from '../words';
import { answers as taught, follow } from '../follow';
import { usePacks } from '../packs';
import { Changes } from '../part/changes';
import { Card, Field, Head, More, Search, TopicPick } from '../part/basic';
import { Await, Empty } from '../part/state';
import { Suggested } from '../part/phrasings';
import { Given, When } from '../part/validity';

export function Answers(): VNode {
  const topic = param('topic'), open = param('id'), show = param('show');
  const [q, setQ] = useState(param('q'));
  const late = useLater(q);
  useEffect(() => view({ q: late }), [late]);
  const state = ['live', 'draft', 'scheduled', 'expired'].includes(show) ? show : '';
  const list = useList<Answer>(path('/api/answers', { topic, q: late, show: state ? '' : show, state }), 'answers');
  const hide = (id: string): void => list.change((all) => all.filter((a) => a.id !== id));

  useKeys((key) => {
    const at = list.items.findIndex((a) => a.id === open);
    if (key === 'j' || key === 'k') {
      const to = list.items[Math.max(0, Math.min(list.items.length - 1, at + (key === 'j' ? 1 : -1)))];
      if (to) view({ id: to.id });
      return true;
    }
    if (key === '/') { document.getElementById('search')?.focus(); return true; }
    if (key === 'Escape' && open) { view({ id: null }); return true; }
    return false;
  });

  return (
    <>
      <Head title="Answers" lead="Each answer with all its phrasings. Change the text once, and every phrasing gives the new one.">
        <a class="button main" href={href('ask')}>Teach an answer</a>
      </Head>
      <div class="filters">
        <Search label="Search answers and phrasings" value={q} onInput={setQ} />
        <TopicPick value={topic} topics={topicNames()} onPick={(t) => view({ topic: t })} />
        <select aria-label="Which answers" id="show" value={show} onChange={(e) => view({ show: e.currentTarget.value, id: null })}>
          <option value="">All answers</option>
          <option value="single_phrasing">With one phrasing only</option>
          <option value="never_hit">Never given</option>
          <option value="draft">Drafts</option>
          <option value="scheduled">Scheduled</option>
          <option value="expired">Expired</option>
        </select>
      </div>
      <Await load={list} what="the answers" empty={() => (list.items.length || open ? null
        : q || topic || show ? <Empty title="Nothing matches">Try fewer words, or all topics.</Empty>
          : <Empty title="Nothing has been taught yet"><a href={href('ask')}>Teach the first answer</a> or <a href={href('import')}>import a file</a>.</Empty>)}>
        {() => (
          <div class={'split' + (open ? ' opened' : '')}>
            <ul class="cards" aria-label="Answers">
              {list.items.map((a) => (
                <li key={a.id}>
                  <a class="pickable" href={href('answers', { topic, q, show, id: a.id })} aria-current={a.id === open ? 'true' : undefined}>
                    <b>{a.response ?? 'Refuses on purpose'}</b> <Given of={a} />
                    <small>{a.topic || 'no topic'} · {many(a.phrasings ?? a.lessons.length, 'phrasing')}{a.lessons.length === 1 && <em class="warn"> · add more</em>} · {a.hits ? `given ${many(a.hits, 'time')}` : 'never given'}</small>
                  </a>
                </li>
              ))}
              <More next={list.next} onMore={list.more} item />
            </ul>
            {open ? <One key={open} id={open} known={list.items.find((a) => a.id === open)} onGone={() => { hide(open); view({ id: null }); }} onBack={list.again} onChanged={list.again} />
              : <div class="card pane"><p class="hint">Choose an answer to see its phrasings. <kbd>J</kbd> and <kbd>K</kbd> move, <kbd>/</kbd> searches.</p></div>}
          </div>
        )}
      </Await>
    </>
  );
}

interface OneProps { id: string; known?: Answer; onGone: () => void; onBack: () => void; onChanged: () => void }

function One({ id, known, onGone, onBack, onChanged }: OneProps): VNode {
  const at = '/api/answers/' + encodeURIComponent(id);
  const load = useLoad<Answer>(at);
  const a = load.data ?? known;
  return (
    <Card class="pane" title="Answer" aside={<a class="button plain" href={href('answers', { topic: param('topic'), q: param('q'), show: param('show') })}>Close</a>}>
      {a ? <Edit key={a.id + a.updated_at + a.draft + a.valid_from + a.valid_until} a={a} at={at} onGone={onGone} onBack={onBack} onChanged={() => { load.again(); onChanged(); }} />
        : load.fault?.status === 404 ? <Empty title="This answer was deleted">It can be put back from its history.</Empty>
          : <Await load={load} what="this answer">{() => null}</Await>}
      <Changes at={at} version={load.data?.updated_at ?? ''} open={load.fault?.status === 404} onBack={(to) => { view({ id: to }); load.again(); onChanged(); }} id={id} />
    </Card>
  );
}

function Edit({ a, at, onGone, onBack, onChanged }: { a: Answer; at: string; onGone: () => void; onBack: () => void; onChanged: () => void }): VNode {
  const [text, setText] = useState(a.response ?? '');
  const [topic, setTopic] = useState(a.topic);
  const [phrasing, setPhrasing] = useState('');
  const [hidden, setHidden] = useState<string[]>([]);
  const teacher = usePacks().data?.teacher;
  const change: { response?: string; topic?: string } = {};
  if (a.response !== null && text.trim() && text !== a.response) change.response = text.trim();
  if (topic.trim() && topic.trim() !== a.topic) change.topic = topic.trim();
  const changed = Object.keys(change).length > 0;

  const save = async (): Promise<void> => {
    const old = { ...(change.response !== undefined && { response: a.response! }), ...(change.topic !== undefined && { topic: a.topic }) };
    const back = (): void => void attempt(() => call(at, { method: 'PATCH', json: old }), 'Undone.').then(onChanged);
    if (await attempt(() => call(at, { method: 'PATCH', json: change }))) {
      tell(`Changed for ${many(a.lessons.length, 'phrasing')}.`, 'good', 8000, back);
      onChanged();
    }
  };
  const add = async (prompts: string[]): Promise<boolean> => {
    if (!prompts.length) return false;
    const lessons = prompts.map((prompt) => ({ prompt, response: a.response, ...(a.topic && { topic: a.topic }) }));
    if (!await attempt(async () => follow((await post<Job>('/api/lessons', { lessons })).id, () => undefined, (j) => taught(j) || j.waiting_for !== null), `${many(prompts.length, 'phrasing')} added.`)) return false;
    onChanged();
    return true;
  };
  const drop = (lesson: { id: string; prompt: string }): void => {
    setHidden((h) => [...h, lesson.id]);
    later(`Deleted the phrasing “${lesson.prompt}”.`, async () => { await del('/api/lessons/' + encodeURIComponent(lesson.id)); onChanged(); }, () => setHidden((h) => h.filter((x) => x !== lesson.id)));
  };
  const remove = (): void => {
    onGone();
    later('Deleted the answer and its phrasings.', () => del(at).catch((e: unknown) => { if (!(e instanceof Fault && e.status === 404)) throw e; }), onBack);
  };
  const shown = a.lessons.filter((l) => !hidden.includes(l.id));

  return (
    <div class="stack">
      <form class="stack" onSubmit={(e) => { e.preventDefault(); void save(); }}>
        {a.response === null ? <p class="note">Prompts like these are refused on purpose.</p>
          : <Field label="Text, given word for word"><textarea id="answertext" rows={5} maxLength={64000} value={text} onInput={(e) => setText(e.currentTarget.value)} /></Field>}
        <div class="line">
          <Field label="Topic" class="inline"><input value={topic} maxLength={128} list="alltopics" onInput={(e) => setTopic(e.currentTarget.value)} /></Field>
          <datalist id="alltopics">{topicNames().map((t) => <option key={t} value={t} />)}</datalist>
          <span class="gap" />
          <button type="submit" class="main" id="saveanswer" disabled={!changed}>Save for all phrasings</button>
        </div>
      </form>
      <When a={a} at={at} onChanged={onChanged} />
      <h3>{many(shown.length, 'phrasing')}{shown.length === 1 && <em class="warn"> · two more phrasings make a match much more likely</em>}</h3>
      <ul class="rows">
        {shown.map((l) => <li key={l.id}><span>{l.prompt}</span><button type="button" class="plain" aria-label={'Delete the phrasing ' + l.prompt} onClick={() => drop(l)}>Delete</button></li>)}
      </ul>
      {teacher && a.response !== null && <Suggested at={at} teacher={teacher} onAdd={add} />}
      <form class="line" onSubmit={(e) => { e.preventDefault(); void add([phrasing.trim()].filter(Boolean)).then((ok) => { if (ok) setPhrasing(''); }); }}>
        <input class="grow" id="addphrasing" aria-label="Another phrasing" placeholder="Another way to ask" value={phrasing} onInput={(e) => setPhrasing(e.currentTarget.value)} />
        <button type="submit" disabled={!phrasing.trim()}>Add</button>
      </form>
      <div class="line foot">
        <small>{a.updated_at ? `Changed ${ago(a.updated_at)}` : ''}{a.hits ? ` · given ${many(a.hits, 'time')}, last ${ago(a.last_hit_at)}` : ' · never given'}</small>
        <span class="gap" />
        <button type="button" class="bad" id="deleteanswer" onClick={remove}>Delete the answer</button>
      </div>
    </div>
  );
}
