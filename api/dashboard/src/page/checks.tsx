import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { status } from '../live';
import { param, view } from '../place';
import { del, post } from '../server';
import type { Check, CheckChanges, CheckRun } from '../types';
import { useLoad, type Load } from '../load';
import { path } from '../list';
import { topicNames } from '../topics';
import { attempt, later } from '../undo';
import { ago, cut, many, short } from '../words';
import { Card, Field, Head, Scroll, TopicPick } from '../part/basic';
import { Changed } from '../part/changed';
import { Forgetting } from '../part/forgetting';
import { Await, Empty } from '../part/state';

export function Checks(): VNode {
  const topic = param('topic');
  const list = useLoad<{ checks: Check[] }>(path('/api/checks', { topic }));
  const runs = useLoad<{ runs: CheckRun[] }>('/api/checks/runs');
  const changes = useLoad<CheckChanges>(path('/api/checks/changes', { after: param('run') }));
  const [hidden, setHidden] = useState<Set<string>>(new Set());
  const all = (): void => { list.again(); runs.again(); changes.again(); };
  const served = status.value?.model.checkpoint;
  const first = useRef(true);
  useEffect(() => { // another checkpoint serves: its run follows in a moment
    if (first.current) { first.current = false; return; }
    const t = setTimeout(all, 3000);
    return () => clearTimeout(t);
  }, [served]);
  const run = async (): Promise<void> => { if (await attempt(() => post('/api/checks/run', undefined))) { view({ run: null }); all(); } };
  const drop = (c: Check): void => {
    setHidden((h) => new Set(h).add(c.id));
    later(`Deleted the test “${cut(c.prompt, 50)}”.`, async () => { await del('/api/checks/' + encodeURIComponent(c.id)); list.again(); },
      () => setHidden((h) => { const n = new Set(h); n.delete(c.id); return n; }));
  };
  return (
    <>
      <Head title="Test prompts" lead="Questions with the answers that they should get. They are asked before and after each training, and the table shows what changed.">
        <button type="button" class="main" id="runchecks" onClick={() => void run()} disabled={!list.data?.checks.length}>Run them now</button>
      </Head>
      <Add onAdded={all} topic={topic} />
      <Await load={changes} what="the runs" empty={(c) => (c.after ? null : <Empty title="No run yet">Add a test prompt; it is asked at once, and after each change from then on.</Empty>)}>
        {(c) => <Card id="changes" title="What changed"><Changed c={c} /></Card>}
      </Await>
      <div class="filters"><TopicPick value={topic} topics={topicNames()} onPick={(t) => view({ topic: t })} /></div>
      <Await load={list} what="the test prompts" empty={(d) => (d.checks.length ? null : <Empty title="No test prompt yet">Add about ten per topic, in your users' own words.</Empty>)}>
        {(d) => (
          <Card>
            <Scroll label="Test prompts">
              <table class="wide" id="checktable">
                <thead><tr><th>Question</th><th>Expected</th><th>Topic</th><th><span class="hidden">Actions</span></th></tr></thead>
                <tbody>
                  {d.checks.filter((x) => !hidden.has(x.id)).map((x) => (
                    <tr key={x.id}>
                      <td class="text">{x.prompt}</td>
                      <td class="text">{x.expected ?? <em>a refusal</em>}</td>
                      <td>{x.topic || '–'}</td>
                      <td class="acts"><button type="button" class="plain" aria-label={'Delete the test ' + x.prompt} onClick={() => drop(x)}>Delete</button></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          </Card>
        )}
      </Await>
      {runs.data && <Forgetting runs={runs.data.runs} />}
      <Runs load={runs} />
    </>
  );
}

function Add({ onAdded, topic: about }: { onAdded: () => void; topic: string }): VNode {
  const [prompt, setPrompt] = useState('');
  const [expected, setExpected] = useState('');
  const [topic, setTopic] = useState(about);
  const [refuse, setRefuse] = useState(false);
  useEffect(() => setTopic(about), [about]);
  const ready = prompt.trim() && (refuse || expected.trim());
  const add = async (): Promise<void> => {
    if (!ready) return;
    const check = { prompt: prompt.trim(), expected: refuse ? null : expected.trim(), ...(topic.trim() && { topic: topic.trim() }) };
    if (await attempt(() => post('/api/checks', { checks: [check] }), 'Added and asked.')) {
      setPrompt('');
      setExpected('');
      onAdded();
    }
  };
  return (
    <Card>
      <form class="stack" id="addcheck" onSubmit={(e) => { e.preventDefault(); void add(); }}>
        <Field label="Question, worded differently from the lessons"><input id="checkprompt" value={prompt} onInput={(e) => setPrompt(e.currentTarget.value)} /></Field>
        <Field label="Expected answer, word for word"><textarea id="checkexpected" rows={2} value={expected} disabled={refuse} onInput={(e) => setExpected(e.currentTarget.value)} /></Field>
        <div class="line">
          <label class="check"><input type="checkbox" id="checkrefuse" checked={refuse} onChange={(e) => setRefuse(e.currentTarget.checked)} /> It should be refused</label>
          <Field label="Topic" class="inline"><input value={topic} maxLength={128} list="checktopics" onInput={(e) => setTopic(e.currentTarget.value)} /></Field>
          <datalist id="checktopics">{topicNames().map((t) => <option key={t} value={t} />)}</datalist>
          <span class="gap" />
          <button type="submit" disabled={!ready}>Add the test</button>
        </div>
      </form>
    </Card>
  );
}

const reasons: Record<CheckRun['why'], string> = { asked: 'run by hand', edited: 'a test was added', checkpoint: 'a new checkpoint was served' };

function Runs({ load }: { load: Load<{ runs: CheckRun[] }> }): VNode {
  const chosen = param('run');
  return (
    <Await load={load} what="the runs" empty={(d) => (d.runs.length ? null : <></>)}>
      {(d) => (
        <Card title="Runs">
          <ul class="rows" id="runs">
            {d.runs.map((r, i) => (
              <li key={r.id}>
                <span><b>{r.passed} of {many(r.total, 'test')} passed</b><small>{ago(r.at)}, {reasons[r.why]}{r.checkpoint && `, checkpoint ${short(r.checkpoint)}`}</small></span>
                <button type="button" class="small" aria-pressed={chosen ? chosen === r.id : i === 0} onClick={() => { view({ run: i === 0 ? null : r.id }, true); scrollTo(0, 0); }}>What changed</button>
              </li>
            ))}
          </ul>
        </Card>
      )}
    </Await>
  );
}
