import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { status } from '../live';
import { param, view } from '../place';
import { control, post } from '../server';
import type { Backup, Checkpoint } from '../types';
import { useLoad, type Load } from '../load';
import { attempt } from '../undo';
import { ago, bytes, count, many, moment, percent, short } from '../words';
import { Card, Confirmed, Head, Scroll, Tag } from '../part/basic';
import { Await, Empty } from '../part/state';

interface Page { checkpoints: Checkpoint[]; head: string | null; challenger: string | null }

export function Checkpoints(): VNode {
  const load = useLoad<Page>('/api/checkpoints');
  const served = status.value?.model.checkpoint;
  const [backing, setBacking] = useState('');
  const first = useRef(true);
  useEffect(() => {
    if (first.current) { first.current = false; return; }
    load.again();
  }, [served]);
  const save = async (): Promise<void> => { if (await attempt(() => control('checkpoint'), 'A checkpoint is being saved.')) load.again(); };
  const backUp = async (): Promise<void> => {
    setBacking('Writing a backup…');
    const b = await attempt(() => post<Backup>('/api/backups', {}));
    setBacking(!b ? '' : b.state === 'running' ? 'This takes a while and continues in the background.'
      : `Backed up ${many(b.datasets, 'dataset')} and ${b.checkpoint ? 'the served checkpoint' : 'no checkpoint'}: ${bytes(b.bytes)} in ${b.file}, on the server.${b.left_out ? ` ${many(b.left_out, 'damaged object')} could not be saved.` : ''}`);
  };
  return (
    <>
      <Head title="Checkpoints" lead="Saved states of the model. Rolling back takes a second and keeps every lesson taught since.">
        <button type="button" id="backup" disabled={backing.endsWith('…')} onClick={() => void backUp()}>Back up now</button>
        <button type="button" class="main" id="save" onClick={() => void save()}>Save one now</button>
      </Head>
      <p id="backedup" class="result" aria-live="polite">{backing}</p>
      <Await load={load} what="the checkpoints" empty={(p) => (p.checkpoints.length ? null : <Empty title="None yet">The first one is kept with the first lesson.</Empty>)}>
        {(p) => <><Lineage load={load} p={p} /><Compare all={p.checkpoints} /></>}
      </Await>
    </>
  );
}

function Lineage({ load, p }: { load: Load<Page>; p: Page }): VNode {
  const chosen = param('compare').split(',').filter(Boolean);
  const choose = (id: string, on: boolean): void => view({ compare: (on ? [...chosen, id].slice(-2) : chosen.filter((c) => c !== id)).join(',') || null });
  const serve = async (c: Checkpoint): Promise<void> => {
    if (await attempt(() => post(`/api/checkpoints/${encodeURIComponent(c.id)}/promote`, {}), `Checkpoint ${short(c.id)} is served.`)) load.again();
  };
  const shown = new Set(p.checkpoints.map((c) => c.id));
  return (
    <Card>
      <Scroll label="Checkpoints">
        <table class="wide" id="checkpoints">
          <thead><tr><th>Compare</th><th>Checkpoint</th><th>Made</th><th>Why</th><th class="num">Lessons</th><th class="num">Size</th><th class="num">Right</th><th>Parent</th><th><span class="hidden">Actions</span></th></tr></thead>
          <tbody>
            {p.checkpoints.map((c, i) => (
              <tr key={c.id} class={c.head ? 'served' : ''}>
                <td><input type="checkbox" aria-label={'Compare ' + short(c.id)} checked={chosen.includes(c.id)} onChange={(e) => choose(c.id, e.currentTarget.checked)} /></td>
                <td class="mono" title={c.id}>{short(c.id)}{c.aliases?.map((a) => <Tag key={a} kind="">{a}</Tag>)}</td>
                <td title={moment(c.created_at)}>{ago(c.created_at)}</td>
                <td class="text">{c.why}{c.failing && <p class="note bad">{c.failing}</p>}</td>
                <td class="num">{count(c.lessons)}</td>
                <td class="num">{bytes(c.size_bytes)}</td>
                <td class="num">{c.figures?.accuracy !== undefined ? percent(c.figures.accuracy) : '–'}</td>
                <td class="mono">{c.parent ? (c.parent === p.checkpoints[i + 1]?.id ? '↓ the one below' : short(c.parent) + (shown.has(c.parent) ? '' : ', not kept')) : 'none'}</td>
                <td class="acts">
                  {c.head ? <Tag kind="succeeded">served</Tag> : <Confirmed class="small" sure="Yes, roll back" onClick={() => void serve(c)}>Roll back to this</Confirmed>}
                  {c.uploaded === false && <Tag kind="warn">not in the bucket yet</Tag>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Card>
  );
}

function Compare({ all }: { all: Checkpoint[] }): VNode | null {
  const two = param('compare').split(',').map((id) => all.find((c) => c.id === id)).filter((c): c is Checkpoint => !!c);
  if (two.length === 1) return <p class="hint">Choose a second checkpoint to compare.</p>;
  if (two.length < 2) return null;
  const [a, b] = two.sort((x, y) => Date.parse(x.created_at ?? '') - Date.parse(y.created_at ?? ''));
  const rows: [string, string, string][] = [
    ['Made', moment(a.created_at), moment(b.created_at)], ['Why', a.why, b.why],
    ['Lessons', count(a.lessons), count(b.lessons)], ['Datasets', count(a.datasets), count(b.datasets)],
    ['Stored size', bytes(a.size_bytes), bytes(b.size_bytes)], ['Size in memory', bytes(a.model_bytes), bytes(b.model_bytes)],
  ];
  const figures = [['Right, of held-out questions', 'accuracy'], ['Answered', 'answered'], ['Answered wrong', 'wrong_answered'], ['Unrelated questions refused', 'foreign_refused']] as const;
  for (const [text, key] of figures) {
    const of = (c: Checkpoint): string => (c.figures?.[key] === undefined ? '–' : percent(c.figures[key]));
    rows.push([text, of(a), of(b)]);
  }
  const more = b.lessons - a.lessons;
  return (
    <Card title={`${short(a.id)} and ${short(b.id)}`} id="compare" aside={<button type="button" class="plain" onClick={() => view({ compare: null })}>Close</button>}>
      <p>{more ? `The newer one knows ${many(Math.abs(more), 'lesson')} ${more > 0 ? 'more' : 'fewer'}.` : 'Both have the same number of lessons.'}</p>
      <table>
        <thead><tr><th><span class="hidden">Figure</span></th><th>Older</th><th>Newer</th></tr></thead>
        <tbody>{rows.map(([k, x, y]) => <tr key={k} class={x !== y ? 'differs' : ''}><th scope="row">{k}</th><td>{x}</td><td>{y}</td></tr>)}</tbody>
      </table>
    </Card>
  );
}
