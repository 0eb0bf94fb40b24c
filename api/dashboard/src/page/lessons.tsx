import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { href, param, view } from '../place';
import { call, del, get, inTurn } from '../server';
import type { Job, Lesson } from '../types';
import { useFocus, useKeys, useLater } from '../load';
import { path, useList } from '../list';
import { topicNames } from '../topics';
import { attempt, later, tell } from '../undo';
import { cut, many } from '../words';
import { Head, More, Scroll, Search, TopicPick } from '../part/basic';
import { Await, Empty } from '../part/state';
import { Given } from '../part/validity';

export function Lessons(): VNode {
  const topic = param('topic');
  const [q, setQ] = useState(param('q'));
  const [picked, setPicked] = useState<Set<string>>(new Set());
  const [editing, setEditing] = useState('');
  const late = useLater(q);
  useEffect(() => view({ q: late }), [late]);
  const list = useList<Lesson>(path('/api/lessons', { topic, q: late }), 'lessons');
  useEffect(() => setPicked(new Set()), [topic, late]);
  useKeys((key) => {
    if (key === '/') { document.getElementById('search')?.focus(); return true; }
    return false;
  });

  const chosen = list.items.filter((l) => picked.has(l.id));
  const drop = (these: Lesson[]): void => {
    const ids = new Set(these.map((l) => l.id));
    list.change((all) => all.filter((l) => !ids.has(l.id)));
    setPicked(new Set());
    later(these.length === 1 ? `Deleted “${cut(these[0].prompt, 60)}”.` : `Deleted ${many(these.length, 'lesson')}.`,
      () => inTurn(these.map((l) => () => del('/api/lessons/' + encodeURIComponent(l.id)))), list.again);
  };
  const revise = async (these: Lesson[], change: Partial<Lesson>, done: string): Promise<void> => {
    const back = (l: Lesson): Partial<Lesson> => Object.fromEntries(Object.keys(change).map((k) => [k, l[k as keyof Lesson]]));
    const send = (id: string, json: Partial<Lesson>): Promise<Job> => call<Job>('/api/lessons/' + encodeURIComponent(id), { method: 'PATCH', json });
    const ok = await attempt(async () => { for (const l of these) await send(l.id, change); return true; });
    const undo = (): void => void attempt(async () => {
      for (const l of these) {
        const now = await get<{ lessons: Lesson[] }>(path('/api/lessons', { q: change.prompt ?? l.prompt, topic: change.topic ?? l.topic }));
        const it = now.lessons.find((x) => x.prompt === (change.prompt ?? l.prompt));
        if (it) await send(it.id, back(l));
      }
    }, 'Undone.').then(list.again);
    if (ok) tell(done, 'good', 8000, undo);
    setPicked(new Set());
    setEditing('');
    list.again();
  };
  const move = (): void => {
    const to = (document.getElementById('moveto') as HTMLInputElement).value.trim();
    if (to) void revise(chosen, { topic: to }, `Moved ${many(chosen.length, 'lesson')} to ${to}.`);
  };

  return (
    <>
      <Head title="Lessons" lead="Every question that was taught, with what it answers.">
        <a class="button" href={href('import')}>Import or export</a>
      </Head>
      <div class="filters">
        <Search label="Search questions and answers" value={q} onInput={setQ} />
        <TopicPick value={topic} topics={topicNames()} onPick={(t) => view({ topic: t })} />
      </div>
      {chosen.length > 0 && (
        <div class="selection" role="region" aria-label="What is selected">
          <b>{many(chosen.length, 'lesson')} selected</b>
          <input id="moveto" aria-label="Move to topic" placeholder="topic" maxLength={128} list="movetopics" />
          <datalist id="movetopics">{topicNames().map((t) => <option key={t} value={t} />)}</datalist>
          <button type="button" onClick={move}>Move</button>
          <button type="button" class="bad" onClick={() => drop(chosen)}>Delete</button>
          <button type="button" class="plain" onClick={() => setPicked(new Set())}>Clear</button>
        </div>
      )}
      <Await load={list} what="the lessons" empty={() => (list.items.length ? null
        : q || topic ? <Empty title="Nothing matches">Try fewer words, or all topics.</Empty>
          : <Empty title="Nothing has been taught yet"><a href={href('ask')}>Teach the first lesson</a> or <a href={href('import')}>import a file</a>.</Empty>)}>
        {() => (
          <>
            <Scroll label="Lessons">
              <table class="wide" id="lessontable">
                <thead><tr><th><span class="hidden">Select</span></th><th>Question</th><th>Answer</th><th>Topic</th><th><span class="hidden">Actions</span></th></tr></thead>
                <tbody>
                  {list.items.map((l) => (
                    <tr key={l.id}>
                      <td><input type="checkbox" aria-label={'Select ' + l.prompt} checked={picked.has(l.id)} onChange={(e) => {
                        const on = e.currentTarget.checked;
                        setPicked((old) => { const s = new Set(old); if (on) s.add(l.id); else s.delete(l.id); return s; });
                      }} /></td>
                      <td class="text">{editing === l.id ? <EditPrompt l={l} onCancel={() => setEditing('')} onSave={(prompt) => void revise([l], { prompt }, 'Question changed.')} /> : l.prompt}</td>
                      <td class="text"><a href={href('answers', { q: l.response ?? l.prompt })}>{l.response === null ? <em>refuses on purpose</em> : cut(l.response, 140)}</a> <Given of={l} /></td>
                      <td>{l.topic ? <a href={href('lessons', { topic: l.topic })}>{l.topic}</a> : '–'}</td>
                      <td class="acts">
                        <button type="button" class="plain" aria-label={'Edit ' + l.prompt} onClick={() => setEditing(l.id)}>Edit</button>
                        <button type="button" class="plain" aria-label={'Delete ' + l.prompt} onClick={() => drop([l])}>Delete</button>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
            <More next={list.next} onMore={list.more} />
          </>
        )}
      </Await>
    </>
  );
}

function EditPrompt({ l, onSave, onCancel }: { l: Lesson; onSave: (p: string) => void; onCancel: () => void }): VNode {
  const [text, setText] = useState(l.prompt);
  const box = useFocus<HTMLInputElement>();
  return (
    <form class="line" onSubmit={(e) => { e.preventDefault(); if (text.trim() && text.trim() !== l.prompt) onSave(text.trim()); else onCancel(); }}>
      <input class="grow" aria-label="Question" value={text} ref={box} onInput={(e) => setText(e.currentTarget.value)} onKeyDown={(e) => { if (e.key === 'Escape') onCancel(); }} />
      <button type="submit" class="main">Save</button>
    </form>
  );
}
