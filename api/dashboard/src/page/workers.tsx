import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { link, status, why } from '../live';
import { post } from '../server';
import type { Status } from '../types';
import { tell } from '../undo';
import { count, many, number, plain, say, short, span } from '../words';
import { Bar, Card, Confirmed, Head, Scroll, Tag } from '../part/basic';
import { Empty, Loading } from '../part/state';
import { PauseButton } from './overview';

const names: Record<string, string> = { interactive: 'Questions that someone waits for', batch: 'Questions in the background', train: 'Training' };

export function Workers(): VNode {
  const s = status.value;
  return (
    <>
      <Head title="Queues and workers" lead="What is waiting, and which workers are busy.">{s && <PauseButton s={s} />}</Head>
      {!s ? (link.value === 'denied' ? <Empty title="Your key may not read the queues">{why.value}</Empty> : <Loading />) : <><Queues s={s} /><Crew s={s} /><Machines s={s} /><Parts s={s} /></>}
    </>
  );
}

function Queues({ s }: { s: Status }): VNode {
  const [busy, setBusy] = useState('');
  const turn = async (name: string, paused: boolean): Promise<void> => {
    setBusy(name);
    try {
      await post(`/api/queues/${name}/${paused ? 'resume' : 'pause'}`, undefined);
      tell(paused ? 'Queue resumed.' : 'Queue paused.', 'good');
    } catch (e) {
      tell(say(e), 'bad');
    }
    setBusy('');
  };
  const order = ['interactive', 'batch', 'train'];
  const lanes = Object.entries(s.queues).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  return (
    <Card title="Queues">
      <Scroll label="Queues">
        <table class="live" id="queuetable">
          <thead><tr><th>Queue</th><th class="num">Waiting</th><th class="num">Oldest</th><th class="num">Running</th><th class="num">Delayed</th><th class="num">Done</th><th class="num">Failed</th><th>State</th></tr></thead>
          <tbody>
            {lanes.map(([name, l]) => (
              <tr key={name}>
                <td>{names[name] ?? name}</td>
                <td class="num">{count(l.pending)}</td>
                <td class="num">{l.oldest_ms ? span(l.oldest_ms / 1000) : '–'}</td>
                <td class="num">{count(l.active)}</td>
                <td class="num">{count(l.delayed)}</td>
                <td class="num">{count(l.processed)}</td>
                <td class="num">{count(l.failed)}</td>
                <td>{l.paused ? <><Tag kind="failed">paused</Tag>{l.reason && <small> {l.reason}</small>} <button type="button" class="main small" disabled={busy === name} onClick={() => void turn(name, true)}>Resume</button></>
                  : <>{l.reason ? <small>{l.reason}</small> : <Tag kind="succeeded">open</Tag>} <Confirmed class="small plain" sure={`Yes, pause ${name}`} disabled={busy === name} onClick={() => void turn(name, false)}>Pause</Confirmed></>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <p class="hint">A paused queue keeps its jobs. They run once it is resumed.</p>
    </Card>
  );
}

function Crew({ s }: { s: Status }): VNode {
  return (
    <Card title={many(s.workers.length, 'worker')}>
      {!s.workers.length ? <Empty title="No worker is running" alert>Nothing can be answered until one is started.</Empty> : (
        <Scroll label="Workers">
          <table class="live" id="workertable">
            <thead><tr><th>Host</th><th>Computes on</th><th>State</th><th>Busy</th><th>Does</th><th>Serves</th></tr></thead>
            <tbody>
              {s.workers.map((w) => (
                <tr key={w.id}>
                  <td>{w.host}</td>
                  <td>{w.device || 'processor'}</td>
                  <td>{plain(w.mode)}{w.mode_reason && <small> {w.mode_reason}</small>}</td>
                  <td><Bar share={w.slots ? w.busy / w.slots : 0} label={`${w.busy} of ${w.slots} slots busy`} /><small>{w.busy} of {w.slots}</small></td>
                  <td>{w.trainer ? (w.training ? 'answers and trains' : 'answers, trains when needed') : 'answers'}</td>
                  <td title={w.checkpoint ?? ''}>{w.unloaded ? <Tag kind="failed">cannot load {short(w.unloaded.checkpoint)}</Tag> : short(w.checkpoint)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </Card>
  );
}

function Machines({ s }: { s: Status }): VNode {
  return (
    <Card title="Processes">
      <Scroll label="Processes">
        <table class="live">
          <thead><tr><th>Host</th><th>Roles</th><th class="num">Processor</th><th class="num">Memory</th><th class="num">Growth per hour</th><th class="num">Up</th><th>Version</th></tr></thead>
          <tbody>
            {s.processes.map((p) => (
              <tr key={p.id}>
                <td>{p.host} <small>{p.pid}</small></td><td>{p.roles.join(', ')}</td><td class="num">{number(p.cpu_percent)} %</td>
                <td class="num">{count(p.memory.current_mb)} MB{p.memory.level !== 'ok' && <> <Tag kind="failed">{p.memory.level}</Tag></>}</td><td class="num">{number(p.memory.growth_rate_mb_per_hour)} MB</td><td class="num">{span(p.uptime_seconds)}</td><td>{p.version || '–'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {s.hardware.map((h) => (
        <p class="meta" key={h.host}>
          <span>{h.host}: {h.cpu.model ?? 'processor'}, {many(h.cpu.threads ?? h.cpu.cores ?? 0, 'thread')}, {count(h.memory_mb)} MB</span>
          {(h.gpus ?? []).map((g, i) => <span key={i}>{g.name}, {count(g.memory_mb ?? 0)} MB{g.temperature_c !== undefined && `, ${g.temperature_c} °C`}</span>)}
          <span>{h.why}</span>
        </p>
      ))}
    </Card>
  );
}

function Parts({ s }: { s: Status }): VNode {
  const open = Object.entries(s.circuit_breakers).filter(([, b]) => b.state !== 'closed');
  return (
    <Card title="Dependencies">
      <dl class="facts">
        <div><dt>Redis</dt><dd>{s.redis.connected ? `${s.redis.describe || s.redis.rung}, answers in ${number(s.redis.ping_ms)} ms` : 'cannot be reached'}</dd></div>
        <div><dt>Storage</dt><dd>{s.storage.kind} {s.storage.where}{s.storage.healthy ? '' : ', cannot be read'}{s.storage.fault && `, takes no writes: ${s.storage.fault}`}</dd></div>
        <div><dt>Breakers</dt><dd>{open.length ? open.map(([n, b]) => `${n} is ${b.state}`).join(', ') : 'all closed'}</dd></div>
        <div><dt>Governor</dt><dd>{plain(s.resources.mode)}{s.resources.reason && `: ${s.resources.reason}`}</dd></div>
      </dl>
    </Card>
  );
}
