import type { VNode } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { learning, link, recent, status, why } from '../live';
import { href, param, view } from '../place';
import { control } from '../server';
import type { History, Status } from '../types';
import { useLoad } from '../load';
import { attempt } from '../undo';
import { count, learningOf, many, number, percent, reasonOf, sentence, span } from '../words';
import { Card, Head } from '../part/basic';
import { Chart, gapped, Spark } from '../part/chart';
import { Issues } from '../part/issues';
import { Await, Empty, Loading } from '../part/state';
import { FirstMinute } from '../part/first';

export function Overview(): VNode {
  const s = status.value;
  if (link.value === 'denied') return <><Head title="Overview" /><Empty title="Your key may not read the state of the server">{why.value}</Empty></>;
  if (!s) {
    return <><Head title="Overview" />{link.value === 'lost' ? <Empty title="The server cannot be reached">The overview appears as soon as it answers.</Empty> : <Loading />}</>;
  }
  return (
    <>
      <Head title={sentence(s)} lead={<span id="learning">{learningOf(learning.value)}</span>}>
        <PauseButton s={s} />
      </Head>
      <Progress />
      <Issues issues={s.health.issues} grave={s.health.status === 'unhealthy'} />
      {s.model.lessons === 0 && <FirstMinute />}
      <Tiles s={s} />
      <Charts />
    </>
  );
}

export function PauseButton({ s }: { s: Status }): VNode {
  const [busy, setBusy] = useState(false);
  const paused = s.daemon.paused;
  const turn = async (): Promise<void> => {
    setBusy(true);
    await attempt(() => control(paused ? 'resume' : 'pause'), paused ? 'Learning resumed.' : 'Learning is paused. Questions are still answered.');
    setBusy(false);
  };
  return <button type="button" id="pause" class={paused ? 'main' : ''} disabled={busy} onClick={() => void turn()}>{paused ? 'Resume learning' : 'Pause learning'}</button>;
}

function Progress(): VNode | null {
  const l = learning.value;
  if (l?.state !== 'learning' || !l.total) return null;
  return <progress class="learning" max={l.total} value={l.done} aria-label={learningOf(l)} />;
}

function Tile({ title, value, unit, children, to, id }: { title: string; value: string; unit?: string; children?: preact.ComponentChildren; to?: string; id: string }): VNode {
  return (
    <section class="tile">
      <h2>{to ? <a href={to}>{title}</a> : title}</h2>
      <p class="figure"><b id={id}>{value}</b>{unit && <span> {unit}</span>}</p>
      {children}
    </section>
  );
}

function Tiles({ s }: { s: Status }): VNode {
  const q = s.metrics.requests, lat = s.metrics.latency.request, lanes = Object.entries(s.queues);
  const waiting = lanes.reduce((n, [, l]) => n + l.pending, 0), active = lanes.reduce((n, [, l]) => n + l.active, 0);
  const oldest = Math.max(0, ...lanes.map(([, l]) => l.oldest_ms)) / 1000;
  const topics = Object.keys(s.model.topics).length;
  const why = Object.entries(q.refusals).sort((a, b) => b[1] - a[1])[0];
  const paused = lanes.filter(([, l]) => l.paused).map(([n]) => n);
  return (
    <div class="tiles live">
      <Tile id="rate" title="Requests" value={number(q.rate_per_second)} unit="per second"><Spark values={recent.rate} /><small>{q.total ? `${count(q.total)} in all, ${percent(q.success_rate)} served` : 'none yet'}</small></Tile>
      <Tile id="p50" title="Time to answer" value={lat.count ? number(lat.p50_ms) : '–'} unit="ms, median"><Spark values={recent.latency} /><small>{lat.count ? `95 % within ${number(lat.p95_ms)} ms` : 'no request yet'}</small></Tile>
      <Tile id="refused" title="Refused" value={q.answered + q.refused ? percent(q.refusal_rate) : '–'} to={href('refusals')}>
        <small>{why ? `most often ${reasonOf(why[0])}` : 'none refused yet'}</small>
      </Tile>
      <Tile id="lessons" title="Lessons" value={count(s.model.lessons)} to={href('lessons')}><small>{s.model.lessons ? `${many(s.model.answers, 'answer')} in ${many(topics, 'topic')}` : 'nothing taught yet'}</small></Tile>
      <Tile id="waiting" title="Waiting" value={count(waiting)} to={href('workers')}>
        <small>{paused.length ? `${paused.join(', ')} paused` : waiting ? `the oldest for ${span(oldest)}` : `${many(active, 'job')} running`}</small>
      </Tile>
      <Tile id="workers" title="Workers" value={count(s.workers.length)} to={href('workers')}>
        <small>{s.workers.reduce((n, w) => n + w.busy, 0)} of {s.workers.reduce((n, w) => n + w.slots, 0)} slots busy</small>
      </Tile>
    </div>
  );
}

const ranges = [['hour', 'Last hour'], ['day', '24 hours'], ['week', '7 days']] as const;

function Charts(): VNode {
  const range = param('range') || 'hour';
  const load = useLoad<History>('/api/history?range=' + range);
  const shown = useMemo(() => (load.data ? gapped(load.data) : null), [load.data]);
  return (
    <Card title="Over time" id="charts" aside={
      <div class="pick" role="group" aria-label="How far back">
        {ranges.map(([r, text]) => <button key={r} type="button" aria-pressed={r === range} onClick={() => view({ range: r === 'hour' ? null : r })}>{text}</button>)}
        <button type="button" class="plain" onClick={load.again}>Refresh</button>
      </div>
    }>
      <Await load={load} what="the charts" empty={(h) => (h.at.length ? null : <p class="hint">The first figures come ten seconds after the start.</p>)}>
        {() => shown && (
          <div class="charts">
            <Chart title="Requests per second" at={shown.at} lines={[{ label: 'Requests', values: shown.figures.requests_per_second, colour: '1', fill: true }]} />
            <Chart title="Time to answer, ms" at={shown.at} lines={[{ label: 'Median', values: shown.figures.p50_ms, colour: '1' }, { label: '95 % within', values: shown.figures.p95_ms, colour: '2' }]} />
            <Chart title="Share refused" at={shown.at} format={percent} lines={[{ label: 'Refused', values: shown.figures.refusal_rate, colour: '2', fill: true }]} />
            <Chart title="Jobs waiting" at={shown.at} format={count} lines={[{ label: 'Waiting', values: shown.figures.waiting, colour: '3', fill: true }]} />
            <Chart title="Processor, %" at={shown.at} lines={[{ label: 'Machine', values: shown.figures.cpu_percent, colour: '1', fill: true }]} />
            <Chart title="Memory, MB" at={shown.at} format={count} lines={[{ label: 'Memory', values: shown.figures.memory_mb, colour: '3', fill: true }]} />
          </div>
        )}
      </Await>
    </Card>
  );
}
