import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { learning, status } from '../live';
import { href, param, view } from '../place';
import { del, post, stream, type Told } from '../server';
import type { Asked, CheckChanges, Job, Trained } from '../types';
import { useKeys, useLoad } from '../load';
import { path, useList } from '../list';
import { ended } from '../follow';
import { attempt } from '../undo';
import { ago, count, many, moment, percent, phaseOf, plain, short, span } from '../words';
import { Bar, Card, Head, More, Tag } from '../part/basic';
import { Changed } from '../part/changed';
import { Await, Empty } from '../part/state';

const kinds = [['', 'All kinds'], ['train', 'Training'], ['interact', 'Questions']] as const;
const states = [['', 'All states'], ['queued', 'Waiting'], ['running', 'Running'], ['succeeded', 'Succeeded'], ['failed', 'Failed'], ['canceled', 'Canceled']] as const;
const stateOf = (s: string): string => states.find(([k]) => k === s)?.[1] ?? s;

export function Jobs(): VNode {
  const kind = param('kind'), state = param('state'), open = param('id');
  const list = useList<Job>(path('/api/jobs', { kind, state, limit: 40 }), 'jobs');
  useRefresh(list.again);

  useKeys((key) => {
    const at = list.items.findIndex((j) => j.id === open);
    if (key === 'j' || key === 'k') {
      const to = list.items[Math.max(0, Math.min(list.items.length - 1, at + (key === 'j' ? 1 : -1)))];
      if (to) view({ id: to.id });
      return true;
    }
    if (key === 'Escape' && open) { view({ id: null }); return true; }
    return false;
  });

  return (
    <>
      <Head title="Jobs" lead="Everything that takes time, newest first." />
      <div class="filters">
        <select aria-label="Kind" value={kind} onChange={(e) => view({ kind: e.currentTarget.value, id: null })}>{kinds.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select>
        <select aria-label="State" value={state} onChange={(e) => view({ state: e.currentTarget.value, id: null })}>{states.map(([v, t]) => <option key={v} value={v}>{t}</option>)}</select>
      </div>
      <Await load={list} what="the jobs" empty={() => (list.items.length ? null : <Empty title="No job here">{kind || state ? 'Choose other filters.' : 'Jobs appear when something is taught, or asked without waiting.'}</Empty>)}>
        {() => (
          <div class={'split' + (open ? ' opened' : '')}>
            <ul class="cards" id="joblist" aria-label="Jobs">
              {list.items.map((j) => (
                <li key={j.id}>
                  <a class="pickable" href={href('jobs', { kind, state, id: j.id })} aria-current={j.id === open ? 'true' : undefined}>
                    <b>{j.kind === 'train' ? 'Training' : 'Question'}{j.topic && ` · ${plain(j.topic)}`} <Tag kind={j.state}>{stateOf(j.state).toLowerCase()}</Tag></b>
                    <small>{summary(j)} · {ago(j.created_at)}</small>
                  </a>
                </li>
              ))}
              <More next={list.next} onMore={list.more} item />
            </ul>
            {open ? <One key={open} id={open} onChanged={list.again} /> : <div class="card pane"><p class="hint">Choose a job to see its result.</p></div>}
          </div>
        )}
      </Await>
    </>
  );
}

// useRefresh loads again when the server tells of movement in the queues.
export function useRefresh(again: () => void): void {
  const q = status.value?.queues ?? {}, l = learning.value;
  const movement = Object.values(q).map((x) => `${x.pending},${x.active},${x.processed}`).join(';') + `${l?.job_id},${l?.phase}`;
  const first = useRef(true);
  useEffect(() => {
    if (first.current) { first.current = false; return; }
    const t = setTimeout(again, 300);
    return () => clearTimeout(t);
  }, [movement]);
}

function summary(j: Job): string {
  if (j.error) return j.error.detail;
  if (j.state === 'queued') return j.waiting_for ?? (j.queue_position ? `number ${j.queue_position} in line` : 'waiting for its turn');
  if (j.state === 'running') return j.progress.total ? `${phaseOf(j.progress.phase)}, ${count(j.progress.done)} of ${count(j.progress.total)}` : phaseOf(j.progress.phase);
  if (j.kind === 'train' && j.result) {
    const t = j.result as Trained;
    if (t.lessons_removed) return `${many(t.lessons_removed, 'lesson')} unlearned`;
    return t.lessons_taken ? `${many(t.lessons_taken, 'lesson')} learned` : t.steps ? `${many(t.steps, 'step')}` : t.why || 'nothing new';
  }
  if (j.kind === 'interact' && j.result) return (j.result as Asked).responded ? 'answered' : 'refused';
  return stateOf(j.state).toLowerCase();
}

function One({ id, onChanged }: { id: string; onChanged: () => void }): VNode {
  const load = useLoad<Job>('/api/jobs/' + encodeURIComponent(id));
  const cancel = async (): Promise<void> => { if (await attempt(() => del('/api/jobs/' + encodeURIComponent(id)), 'Canceled.')) { load.again(); onChanged(); } };
  const retry = async (): Promise<void> => {
    const made = await attempt(() => post<Job>(`/api/jobs/${encodeURIComponent(id)}/retry`, undefined), 'Retried as a new job.');
    if (made) { view({ id: made.id }); onChanged(); }
  };
  return (
    <Card class="pane" title="Job" aside={<a class="button plain" href={href('jobs', { kind: param('kind'), state: param('state') })}>Close</a>}>
      <Await load={load} what="this job">
        {(job) => (
          <div class="stack" id="job">
            <p><b>{job.kind === 'train' ? 'Training' : 'Question'}</b>{job.topic && ` about ${plain(job.topic)}`} <Tag kind={job.state}>{stateOf(job.state).toLowerCase()}</Tag></p>
            {job.error && <p class="note bad">{job.error.detail}</p>}
            {job.waiting_for && <p class="note">{job.waiting_for}</p>}
            {job.state === 'running' && <Running j={job} />}
            <Timeline j={job} />
            <div class="line">
              {!ended(job) && <button type="button" class="bad" id="cancel" onClick={() => void cancel()}>Cancel</button>}
              {job.kind === 'train' && (job.state === 'failed' || job.state === 'canceled') && <button type="button" class="main" id="retry" onClick={() => void retry()}>Retry</button>}
            </div>
            {job.kind === 'train' && job.state === 'succeeded' && <Result t={job.result as Trained} />}
            {job.kind === 'train' && job.state === 'succeeded' && <Tested id={id} />}
            {job.kind === 'interact' && job.state === 'succeeded' && <Said a={job.result as Asked} />}
            <Events key={job.state} id={id} live={!ended(job)} onEvent={load.again} />
            <p class="meta"><span>Job ID {job.id}</span></p>
          </div>
        )}
      </Await>
    </Card>
  );
}

function Running({ j }: { j: Job }): VNode {
  const p = j.progress, text = p.total ? `${phaseOf(p.phase)}: ${count(p.done)} of ${count(p.total)}` : phaseOf(p.phase);
  return <div><Bar share={p.total ? p.done / p.total : 0} label={text} /><small>{text}{p.message && `. ${p.message}`}</small></div>;
}

function Timeline({ j }: { j: Job }): VNode {
  const at = (s: string | null): number => (s ? Date.parse(s) : 0);
  const took = j.started_at ? ((j.finished_at ? at(j.finished_at) : Date.now()) - at(j.started_at)) / 1000 : 0;
  return (
    <ol class="timeline">
      <li class="done"><b>Created</b><span>{moment(j.created_at)}</span></li>
      <li class={j.started_at ? 'done' : ''}><b>{j.started_at ? 'Started' : 'Not started yet'}</b><span>{j.started_at ? `${moment(j.started_at)}, after ${span(Math.max(0, at(j.started_at) - at(j.created_at)) / 1000)}` : ''}{j.attempts > 1 && `, attempt ${j.attempts}`}</span></li>
      <li class={j.finished_at ? 'done' : ''}><b>{j.finished_at ? stateOf(j.state) : 'Not finished yet'}</b><span>{j.finished_at ? `${moment(j.finished_at)}${j.started_at ? `, after ${span(took)}` : ''}` : j.started_at ? `running for ${span(took)}` : ''}</span></li>
    </ol>
  );
}

export function Result({ t }: { t: Trained }): VNode | null {
  if (!t) return null;
  const rows: [string, string][] = [];
  if (t.lessons_taken) rows.push(['Learned', many(t.lessons_taken, 'lesson')]);
  if (t.lessons_known) rows.push(['Known before', many(t.lessons_known, 'lesson')]);
  if (t.lessons_removed) rows.push(['Unlearned', many(t.lessons_removed, 'lesson')]);
  if (t.lessons_skipped) rows.push(['Left out', many(t.lessons_skipped, 'faulty line')]);
  if (t.steps) rows.push(['Training', `${many(t.steps, 'step')} in ${span(t.duration_ms / 1000)}`]);
  if (t.after) rows.push(['Right, of held-out questions', (t.before ? percent(t.before.accuracy) + ' → ' : '') + percent(t.after.accuracy)], ['Answered', percent(t.after.answered)], ['Answered wrong', percent(t.after.wrong_answered)]);
  if (t.steps) rows.push(['New weights', t.promoted ? 'promoted' : 'not promoted']);
  if (t.why) rows.push(['Why', t.why]);
  return (
    <>
      <dl class="facts">{rows.map(([k, v]) => <div key={k}><dt>{k}</dt><dd>{v}</dd></div>)}</dl>
      {t.contradictions && t.contradictions.length > 0 && (
        <details><summary>{many(t.contradictions.length, 'question')} got a new answer</summary>
          <ul class="rows">{t.contradictions.map((c) => <li key={c.prompt}><span><b>{c.prompt}</b><small>before: {c.older}</small><small>now: {c.newer}</small></span></li>)}</ul>
        </details>
      )}
      {t.skipped && t.skipped.length > 0 && <details><summary>{many(t.skipped.length, 'line')} left out</summary><ul class="rows">{t.skipped.map((f) => <li key={f.line}><span>Line {f.line}: {f.detail}</span></li>)}</ul></details>}
    </>
  );
}

// Tested is what the job changed for the test prompts.
function Tested({ id }: { id: string }): VNode | null {
  const load = useLoad<CheckChanges>(path('/api/checks/changes', { job: id }));
  if (!load.data?.after) return null;
  return <div id="tested"><h3>Test prompts</h3><Changed c={load.data} /></div>;
}

function Said({ a }: { a: Asked }): VNode | null {
  if (!a) return null;
  return <p>{a.responded ? 'Answered' : 'Refused'} with confidence {a.confidence.toFixed(3)}, threshold {a.threshold.toFixed(3)}, by checkpoint {short(a.checkpoint)}.</p>;
}

// Events shows what happened to a job, as it happens.
function Events({ id, live, onEvent }: { id: string; live: boolean; onEvent: () => void }): VNode {
  const [told, setTold] = useState<Told[]>([]);
  const [open, setOpen] = useState(true);
  useEffect(() => {
    if (!open) return;
    const stop = new AbortController();
    setTold([]);
    let timer = 0;
    stream('/api/jobs/' + encodeURIComponent(id) + '/events', (e) => {
      setTold((old) => [...old.slice(-199), e]);
      if (!live) return;
      clearTimeout(timer);
      timer = window.setTimeout(onEvent, 200);
    }, stop.signal).catch(() => undefined);
    return () => { stop.abort(); clearTimeout(timer); };
  }, [id, open]);
  return (
    <details open={open} onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>Events</summary>
      <ol class="events" id="events">{told.map((e, i) => <li key={e.id || i}>{wordsOf(e)}</li>)}{open && !told.length && <li class="soft">No events were kept.</li>}</ol>
    </details>
  );
}

function wordsOf(e: Told): string {
  try {
    const d = JSON.parse(e.data) as Record<string, unknown>;
    if (e.event === 'state') return stateOf(String(d.state)) + (d.waiting_for ? `: ${String(d.waiting_for)}` : '');
    if (e.event === 'progress') return phaseOf(String(d.phase)) + (d.total ? `, ${count(Number(d.done))} of ${count(Number(d.total))}` : '');
    return 'Ended';
  } catch {
    return e.event;
  }
}
