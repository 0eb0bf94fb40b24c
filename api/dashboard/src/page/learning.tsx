import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { learning, status } from '../live';
import { href, param, view } from '../place';
import { control, del } from '../server';
import type { Job, Trained } from '../types';
import { usePacks } from '../packs';
import { useList } from '../list';
import { attempt } from '../undo';
import { ago, count, learningOf, many, percent, plain, span, title } from '../words';
import { Bar, Card, Head, More, Scroll, Tag } from '../part/basic';
import { Chart } from '../part/chart';
import { Await, Empty } from '../part/state';
import { PauseButton } from './overview';
import { useRefresh } from './jobs';

export function Learning(): VNode {
  const list = useList<Job>('/api/jobs?kind=train&limit=100', 'jobs');
  useRefresh(list.again);
  return (
    <>
      <Head title="Learning" lead={<span id="learning">{learningOf(learning.value)}</span>}>{status.value && <PauseButton s={status.value} />}</Head>
      <Now />
      <Start onStarted={list.again} />
      <Await load={list} what="the train jobs" empty={() => (list.items.length ? null : <Empty title="Nothing has been learned yet">Each lesson, import or pack starts a run, which is listed here.</Empty>)}>
        {() => <><div class="columns"><Loss jobs={list.items} /><Curve jobs={list.items} /></div><Runs jobs={list.items} /><More next={list.next} onMore={list.more} /></>}
      </Await>
    </>
  );
}

function Now(): VNode | null {
  const l = learning.value, next = status.value?.model.successor;
  if (!l || (l.state === 'idle' && !next)) return null;
  return (
    <Card title="Now">
      <p>{learningOf(l)}</p>
      {l.total > 0 && <Bar share={l.done / l.total} label={`${count(l.done)} of ${count(l.total)}`} />}
      {l.waiting_for && <p class="note">{l.waiting_for}</p>}
      {l.job_id && <div class="line"><a class="button" href={href('jobs', { id: l.job_id })}>Open the job</a><button type="button" onClick={() => void attempt(() => del('/api/jobs/' + l.job_id!), 'Canceled.')}>Cancel it</button></div>}
      {next && <p class="soft">A successor ({next.architecture}, {next.size}) {next.state === 'training' ? `is being trained: ${count(next.done)} of ${count(next.total)} steps` : next.state === 'kept_out' ? `was not promoted: ${next.why}` : plain(next.state)}.</p>}
    </Card>
  );
}

function Start({ onStarted }: { onStarted: () => void }): VNode {
  const packs = usePacks();
  const training = status.value?.control.training ?? true;
  const act = async (action: string, topic: string | undefined, done: string): Promise<void> => {
    if (await attempt(() => control(action, topic ? { topic } : {}), done)) onStarted();
  };
  return (
    <Card title="Teach a pack, or train more">
      <div class="line" id="packs">
        {(packs.data?.packs ?? []).map((p) => <button type="button" key={p} onClick={() => void act('train_start', p, `Learning ${plain(p)}.`)}>{title(p)}</button>)}
        <span class="gap" />
        <button type="button" onClick={() => void act('train_start', undefined, 'Training on all lessons has started.')}>Train on all lessons</button>
        {training && <button type="button" class="plain" onClick={() => void act('train_stop', undefined, 'Training is stopped. New lessons are still answered.')}>Stop training</button>}
      </div>
    </Card>
  );
}

const trained = (j: Job): Trained | null => (j.kind === 'train' && j.state === 'succeeded' ? j.result as Trained : null);

function Curve({ jobs }: { jobs: Job[] }): VNode | null {
  const points = useMemo(() => jobs.filter((j) => trained(j)?.after && j.finished_at).reverse(), [jobs.map((j) => j.id + j.state).join()]);
  const data = useMemo(() => ({
    at: points.map((j) => Date.parse(j.finished_at!) / 1000),
    lines: [
      { label: 'Right', values: points.map((j) => trained(j)!.after!.accuracy), colour: '1' as const },
      { label: 'Answered', values: points.map((j) => trained(j)!.after!.answered), colour: '3' as const },
      { label: 'Answered wrong', values: points.map((j) => trained(j)!.after!.wrong_answered), colour: '2' as const },
    ],
  }), [points]);
  if (points.length < 2) return null;
  return <Card title="On held-out questions"><Chart title="After each run" at={data.at} format={percent} lines={data.lines} height={200} /></Card>;
}

// Loss shows how the loss fell in one run; the page names which.
function Loss({ jobs }: { jobs: Job[] }): VNode | null {
  const runs = jobs.filter((j) => (trained(j)?.losses?.length ?? 0) > 1);
  const job = runs.find((j) => j.id === param('run')) ?? runs[0];
  const t = job && trained(job);
  const data = useMemo(() => {
    if (!t) return { at: [], lines: [] };
    const points = t.losses!;
    return { at: points.map((_, i) => Math.round((i + 1) * t.steps / points.length)), lines: [{ label: 'Loss', values: points, colour: '2' as const }] };
  }, [job?.id]);
  if (!t) return null;
  return (
    <Card title="Loss" id="loss" aside={(
      <select aria-label="Which run" value={job.id} onChange={(e) => view({ run: e.currentTarget.value })}>
        {runs.map((j) => <option key={j.id} value={j.id}>{`${plain(j.topic ?? '') || 'what is known'}, ${ago(j.finished_at)}`}</option>)}
      </select>
    )}>
      <Chart title={`Over ${count(t.steps)} steps`} at={data.at} lines={data.lines} format={(v) => v.toFixed(3)} height={200} steps />
      <p id="outcome">{outcomeOf(t)}</p>
    </Card>
  );
}

// outcomeOf says what became of the weights of a run, and why.
function outcomeOf(t: Trained): string {
  if (!t.steps) return t.why || 'Stored and answering';
  return `${t.promoted ? 'Promoted' : 'Not promoted'}${t.why ? ': ' + t.why : ''}`;
}

function Runs({ jobs }: { jobs: Job[] }): VNode {
  return (
    <Card title="Runs">
      <Scroll label="Runs">
        <table class="wide" id="runs">
          <thead><tr><th>When</th><th>What</th><th>State</th><th class="num">Lessons</th><th class="num">Steps</th><th class="num">Right</th><th class="num">Answered</th><th class="num">Wrong</th><th>Outcome</th></tr></thead>
          <tbody>
            {jobs.map((j) => {
              const t = trained(j);
              return (
                <tr key={j.id}>
                  <td><a href={href('jobs', { id: j.id })}>{ago(j.finished_at ?? j.created_at)}</a></td>
                  <td>{plain(j.topic ?? '') || (t?.lessons_removed ? 'unlearning' : t?.lessons_taken ? 'lessons' : 'what is known')}</td>
                  <td><Tag kind={j.state}>{j.state}</Tag></td>
                  <td class="num">{t ? (t.lessons_removed ? '−' + count(t.lessons_removed) : '+' + count(t.lessons_taken)) : '–'}</td>
                  <td class="num">{t?.steps ? `${count(t.steps)} in ${span(t.duration_ms / 1000)}` : '–'}</td>
                  <td class="num">{t?.after ? `${t.before ? percent(t.before.accuracy) + ' → ' : ''}${percent(t.after.accuracy)}` : '–'}</td>
                  <td class="num">{t?.after ? percent(t.after.answered) : '–'}</td>
                  <td class="num">{t?.after ? percent(t.after.wrong_answered) : '–'}</td>
                  <td class="text">{t ? outcomeOf(t) : j.error?.detail ?? j.waiting_for ?? (j.progress.total ? many(j.progress.total - j.progress.done, 'step') + ' to go' : '')}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </Scroll>
    </Card>
  );
}
