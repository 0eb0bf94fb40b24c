import type { VNode } from 'preact';
import { useMemo } from 'preact/hooks';
import { link, status, why } from '../live';
import { href, param, view } from '../place';
import type { Checkpoint, Figures, History, Risks, Status, Topic } from '../types';
import { useLoad } from '../load';
import { count, percent } from '../words';
import { Bar, Card, Head, Scroll } from '../part/basic';
import { Chart, gapped } from '../part/chart';
import { Await, Empty, Loading } from '../part/state';
import { Reliability, Tradeoff } from '../part/tradeoff';

export function Risk(): VNode {
  const s = status.value;
  const risks = useLoad<Risks>('/api/risk');
  const checkpoints = useLoad<{ checkpoints: Checkpoint[] }>('/api/checkpoints');
  return (
    <>
      <Head title="Risk and coverage" lead="How sure it must be before it answers, and what that costs in refusals." />
      {!s ? (link.value === 'denied' ? <Empty title="Your key may not read the figures">{why.value}</Empty> : <Loading />) : <Promise s={s} />}
      <Await load={risks} what="risk and coverage">{(r) => (r.curve.length ? <><Tradeoff r={r} onSet={risks.again} /><Reliability r={r} /></> : <span />)}</Await>
      <Past />
      <Await load={checkpoints} what="the checkpoints">{(d) => <Judged all={d.checkpoints} />}</Await>
      <Expected />
    </>
  );
}

function Promise({ s }: { s: Status }): VNode {
  const m = s.model, c = s.metrics.confidence, q = s.metrics.requests;
  return (
    <div class="tiles">
      <section class="tile"><h2>Promise</h2><p class="figure"><b id="target">{percent(m.target_error)}</b><span> wrong at most</span></p><small>Of the questions that can be answered.</small></section>
      <section class="tile"><h2>Threshold</h2><p class="figure"><b id="threshold">{m.confidence_threshold.toFixed(3)}</b></p><Bar share={c.p50} mark={m.confidence_threshold} label={`Median confidence ${c.p50.toFixed(3)}, threshold ${m.confidence_threshold.toFixed(3)}`} /><small>{c.count ? `median confidence ${c.p50.toFixed(3)}` : 'no question yet'}</small></section>
      <section class="tile"><h2>Answered</h2><p class="figure"><b>{q.answered + q.refused ? percent(1 - q.refusal_rate) : '–'}</b></p><small>of what was asked lately</small></section>
    </div>
  );
}

// Past is the threshold as the server noted it.
function Past(): VNode {
  const range = param('range') || 'day';
  const load = useLoad<History>('/api/history?range=' + range);
  const h = load.data;
  const shown = useMemo(() => (h ? gapped(h) : null), [h]);
  const lines = useMemo(() => (shown ? [{ label: 'Threshold', values: shown.figures.threshold ?? [], colour: '1' as const }] : []), [shown]);
  return (
    <Card title="The threshold over time" id="past" aside={(
      <select aria-label="Over what time" value={range} onChange={(e) => view({ range: e.currentTarget.value })}>
        <option value="hour">an hour</option><option value="day">24 hours</option><option value="week">7 days</option>
      </select>
    )}>
      <Await load={load} what="the history" empty={(d) => (d.at.length ? null : <p class="hint">No figures yet. One is recorded every ten seconds.</p>)}>
        {() => shown && <Chart title="Threshold" at={shown.at} format={(v) => v.toFixed(3)} lines={lines} />}
      </Await>
      <p class="hint">Who set the bound, and when, is in the <a href={href('audit')}>audit log</a>.</p>
    </Card>
  );
}

function Judged({ all }: { all: Checkpoint[] }): VNode {
  const judged = useMemo(() => all.filter((c): c is Checkpoint & { figures: Figures } => c.figures !== null && typeof c.figures?.threshold === 'number' && c.created_at !== null).reverse(), [all]);
  const at = useMemo(() => judged.map((c) => Date.parse(c.created_at!) / 1000), [judged]);
  const threshold = useMemo(() => [{ label: 'Threshold', values: judged.map((c) => c.figures.threshold), colour: '1' as const }], [judged]);
  const shares = useMemo(() => [
    { label: 'Answered', values: judged.map((c) => c.figures.answered), colour: '3' as const },
    { label: 'Answered wrong', values: judged.map((c) => c.figures.wrong_answered), colour: '2' as const },
  ], [judged]);
  if (!judged.length) return <Empty title="Nothing was judged yet">The figures come from questions that were held out of training. They appear after the first run that had enough lessons.</Empty>;
  const last = judged[judged.length - 1].figures;
  return (
    <Card title={`On ${count(last.prompts)} held-out questions`}>
      <dl class="counts">
        <div><dd>{percent(last.accuracy)}</dd><dt>right if all were answered</dt></div>
        <div><dd>{percent(last.answered)}</dd><dt>answered</dt></div>
        <div class="bad"><dd>{percent(last.wrong_answered)}</dd><dt>answered wrong</dt></div>
        <div><dd>{percent(last.foreign_refused)}</dd><dt>of unrelated questions refused</dt></div>
      </dl>
      {judged.length > 1 && <div class="charts"><Chart title="Threshold over the checkpoints" at={at} format={(v) => v.toFixed(3)} lines={threshold} /><Chart title="Answered, and answered wrong" at={at} format={percent} lines={shares} /></div>}
    </Card>
  );
}

function Expected(): VNode {
  const load = useLoad<{ topics: Topic[] }>('/api/topics');
  return (
    <Await load={load} what="the topics" empty={(d) => (d.topics.some((t) => t.expected) ? null : <span />)}>
      {(d) => (
        <Card title="By topic">
          <Scroll label="Expected by topic">
            <table id="expected">
              <thead><tr><th>Topic</th><th>Would be answered</th><th>Would be answered wrong</th></tr></thead>
              <tbody>
                {d.topics.filter((t) => t.expected).sort((a, b) => b.expected!.wrong - a.expected!.wrong).map((t) => (
                  <tr key={t.topic}><td><a href={href('topics', { topic: t.topic })}>{t.topic}</a></td>
                    <td><Bar share={t.expected!.answered} kind="good" label={percent(t.expected!.answered)} /><small>{percent(t.expected!.answered)}</small></td>
                    <td><Bar share={t.expected!.wrong} kind="bad" label={percent(t.expected!.wrong)} /><small>{percent(t.expected!.wrong)}</small></td></tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        </Card>
      )}
    </Await>
  );
}
