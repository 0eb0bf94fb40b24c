import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { href } from '../place';
import { call, download, Fault } from '../server';
import type { Job, Preview } from '../types';
import { answers, follow } from '../follow';
import { path } from '../list';
import { topicNames } from '../topics';
import { attempt } from '../undo';
import { count, cut, many, phaseOf, say } from '../words';
import { Card, Field, Head, Scroll, TopicPick } from '../part/basic';

interface Given { name: string; body: Blob }

const formats = 'CSV, TSV, Excel, JSON, Rasa, Dialogflow, chat logs, Markdown or HTML FAQ pages';

export function Import(): VNode {
  return (
    <>
      <Head title="Import and export" lead="Import questions and answers from a file. You see a preview before anything is taught." />
      <Bring />
      <Export />
    </>
  );
}

function Bring(): VNode {
  const [given, setGiven] = useState<Given | null>(null);
  const [preview, setPreview] = useState<Preview | null>(null);
  const [columns, setColumns] = useState<Record<string, string>>({});
  const [fault, setFault] = useState('');
  const [faults, setFaults] = useState<Preview['faults']>([]);
  const [names, setNames] = useState<string[]>([]); // of the columns, when nothing tells which is which
  const [busy, setBusy] = useState(false);
  const [over, setOver] = useState(false);
  const [job, setJob] = useState<Job | null>(null);
  const file = useRef<HTMLInputElement>(null);
  const turn = useRef(0);

  const ask = (g: Given, cols: Record<string, string>, more: Record<string, string>): Promise<unknown> =>
    call(path('/api/import', { filename: g.name, ...cols, ...more }), { method: 'POST', body: g.body, type: g.body.type || 'application/octet-stream' });

  const look = async (g: Given, cols: Record<string, string>): Promise<void> => {
    const mine = ++turn.current;
    setBusy(true);
    setFault('');
    setFaults([]);
    setNames([]);
    try {
      const p = await ask(g, cols, { dry_run: 'true' }) as Preview;
      if (mine === turn.current) setPreview(p);
    } catch (e) {
      if (mine !== turn.current) return;
      setPreview(null);
      setFault(say(e));
      setNames(columnsNamed(e));
      const listed = (e as { body?: { faults?: Preview['faults'] } }).body?.faults;
      if (Array.isArray(listed)) setFaults(listed);
    }
    if (mine === turn.current) setBusy(false);
  };
  const take = (g: Given): void => {
    setGiven(g);
    setJob(null);
    setColumns({});
    setPreview(null);
    void look(g, {});
  };
  const clear = (): void => {
    turn.current++;
    setGiven(null);
    setPreview(null);
    setFault('');
    setFaults([]);
    setNames([]);
    setJob(null);
    setBusy(false);
  };
  const teach = async (): Promise<void> => {
    if (!given || !preview) return;
    setBusy(true);
    const j = await attempt(() => ask(given, columns, preview.faults.length ? { on_error: 'skip' } : {}) as Promise<Job>);
    setBusy(false);
    if (!j) return;
    setJob(j);
    await attempt(() => follow(j.id, setJob, answers));
  };

  // Pasting anywhere on the page brings what is in the clipboard.
  useEffect(() => {
    const paste = (ev: ClipboardEvent): void => {
      if (/^(INPUT|TEXTAREA)$/.test((ev.target as HTMLElement).tagName)) return;
      const f = ev.clipboardData?.files[0];
      const text = ev.clipboardData?.getData('text/plain');
      if (f) take({ name: f.name, body: f });
      else if (text?.trim()) take({ name: '', body: new Blob([text], { type: 'text/plain' }) });
      else return;
      ev.preventDefault();
    };
    document.addEventListener('paste', paste);
    return () => document.removeEventListener('paste', paste);
  }, []);

  return (
    <Card title="Import" id="import">
      {!given && (
        <>
          <div class={'drop' + (over ? ' over' : '')} onDragOver={(e) => { e.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)}
            onDrop={(e) => { e.preventDefault(); setOver(false); const f = e.dataTransfer?.files[0]; if (f) take({ name: f.name, body: f }); }}>
            <p class="big">Drop a file here, or paste</p>
            <p class="soft">{formats}</p>
            <button type="button" class="main" onClick={() => file.current?.click()}>Choose a file</button>
            <input id="file" ref={file} type="file" class="hidden" tabIndex={-1} aria-label="File to import" onChange={(e) => { const f = e.currentTarget.files?.[0]; if (f) take({ name: f.name, body: f }); e.currentTarget.value = ''; }} />
          </div>
          <Paste onText={(t) => take({ name: '', body: new Blob([t], { type: 'text/plain' }) })} />
        </>
      )}
      {given && (
        <div class="stack">
          <div class="line">
            <b>{given.name || 'What you pasted'}</b><small class="soft">{count(given.body.size)} bytes</small><span class="gap" />
            <button type="button" onClick={clear}>{job ? 'Import something else' : 'Choose another'}</button>
          </div>
          {busy && !preview && <p class="hint" role="status">Reading…</p>}
          {fault && <p class="note bad" role="alert">{fault}</p>}
          {names.length > 1 && <Columns names={names} chosen={columns} onColumns={(c) => { setColumns(c); if (c.prompt && c.response) void look(given, c); }} />}
          {faults.length > 0 && <Faults faults={faults} total={faults.length} />}
          {preview && !job && <Seen p={preview} columns={columns} onColumns={(c) => { setColumns(c); void look(given, c); }} />}
          {preview && !job && (
            <div class="line" id="decide">
              {!preview.lessons ? <p class="note">It contains no lessons.</p>
                : <button type="button" class="main" id="teachfile" disabled={busy} onClick={() => void teach()}>{preview.faults.length ? `Teach ${many(preview.lessons, 'good line')} and skip ${many(preview.faults_total, 'faulty line')}` : `Teach ${many(preview.lessons, 'lesson')}`}</button>}
            </div>
          )}
          {job && <Taught job={job} />}
        </div>
      )}
    </Card>
  );
}

function Paste({ onText }: { onText: (t: string) => void }): VNode {
  const [text, setText] = useState('');
  return (
    <form class="stack" onSubmit={(e) => { e.preventDefault(); if (text.trim()) onText(text); }}>
      <Field label="Or paste a table or a page here"><textarea id="paste" rows={4} spellcheck={false} placeholder={'question;answer\nHow do I reset my password?;Open Settings, then Security.'} value={text} onInput={(e) => setText(e.currentTarget.value)} /></Field>
      <div class="line"><button type="submit" disabled={!text.trim()}>Preview</button></div>
    </form>
  );
}

const names: Record<string, string> = { ',': 'comma', ';': 'semicolon', '\t': 'tab', '|': 'bar' };

function Seen({ p, columns, onColumns }: { p: Preview; columns: Record<string, string>; onColumns: (c: Record<string, string>) => void }): VNode {
  const how = [p.format?.toUpperCase(), p.encoding && `encoding ${p.encoding}`, p.delimiter && `columns split by ${names[p.delimiter] ?? p.delimiter}`].filter(Boolean).join(', ');
  return (
    <div class="stack" id="preview">
      <p>Read as {how}.</p>
      <dl class="counts">
        <div><dd>{count(p.lessons)}</dd><dt>lessons</dt></div>
        <div><dd>{count(p.new)}</dd><dt>new</dt></div>
        <div><dd>{count(p.known)}</dd><dt>known already</dt></div>
        <div><dd>{count(p.duplicates)}</dd><dt>duplicates</dt></div>
        <div class={p.contradictions_total ? 'warn' : ''}><dd>{count(p.contradictions_total)}</dd><dt>contradictions</dt></div>
        <div class={p.faults_total ? 'bad' : ''}><dd>{count(p.faults_total)}</dd><dt>faulty lines</dt></div>
      </dl>
      {p.columns && <Columns names={[...new Set([...(p.columns.names ?? []), ...[p.columns.prompt, p.columns.response, p.columns.topic].filter((c): c is string => !!c)])]}
        chosen={{ prompt: columns.prompt ?? p.columns.prompt ?? '', response: columns.response ?? p.columns.response ?? '', topic: columns.topic ?? p.columns.topic ?? '' }} onColumns={onColumns} />}
      {p.sample.length > 0 && (
        <Scroll label="The first lessons">
          <table class="wide">
            <thead><tr><th>Question</th><th>Answer</th><th>Topic</th></tr></thead>
            <tbody>{p.sample.map((l, i) => <tr key={i}><td class="text">{cut(l.prompt, 160)}</td><td class="text">{l.response === null ? <em>refuses on purpose</em> : cut(l.response, 160)}</td><td>{l.topic || '–'}</td></tr>)}</tbody>
          </table>
        </Scroll>
      )}
      {p.contradictions.length > 0 && (
        <details>
          <summary>{many(p.contradictions_total, 'question')} with more than one answer; the last one counts</summary>
          <ul class="rows">{p.contradictions.map((c) => <li key={c.prompt}><span><b>{c.prompt}</b>{c.responses.map((r) => <small key={r}>{r === null ? 'refused on purpose' : cut(r, 140)}</small>)}</span></li>)}</ul>
        </details>
      )}
      <Faults faults={p.faults} total={p.faults_total} />
    </div>
  );
}

const parts = { prompt: 'Question is in', response: 'Answer is in', topic: 'Topic is in' } as const;

function Columns({ names, chosen, onColumns }: { names: string[]; chosen: Record<string, string>; onColumns: (c: Record<string, string>) => void }): VNode {
  return (
    <div class="line" id="columns">
      {(Object.keys(parts) as (keyof typeof parts)[]).map((what) => (
        <Field key={what} label={parts[what]} class="inline">
          <select id={'column-' + what} value={chosen[what] ?? ''} onChange={(e) => onColumns({ ...chosen, [what]: e.currentTarget.value })}>
            <option value="">{what === 'topic' ? 'no column' : 'choose'}</option>
            {names.map((c) => <option key={c} value={c}>{c}</option>)}
          </select>
        </Field>
      ))}
    </div>
  );
}

// columnsNamed finds the columns that an error names.
function columnsNamed(e: unknown): string[] {
  const list = e instanceof Fault ? /the columns are (.*)/.exec(e.message)?.[1] : undefined;
  return [...(list ?? '').matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((m) => JSON.parse(m[0]) as string);
}

function Faults({ faults, total }: { faults: Preview['faults']; total: number }): VNode | null {
  if (!faults.length) return null;
  return (
    <details open class="faults">
      <summary>{many(total, 'faulty line')}{total > faults.length && `, the first ${count(faults.length)}`}</summary>
      <ul class="rows">{faults.map((f) => <li key={f.line}><span>Line {f.line}: {f.detail}</span></li>)}</ul>
    </details>
  );
}

function Taught({ job }: { job: Job }): VNode {
  const done = answers(job);
  const bad = job.state === 'failed' || job.state === 'canceled';
  return (
    <p class={'result ' + (bad ? 'bad' : done ? 'good' : '')} id="imported" role="status">
      {bad ? job.error?.detail ?? 'It was canceled.' : done ? <>Taught. It answers from now on. <a href={href('ask')}>Try it</a></> : job.waiting_for ? `Stored safely. ${job.waiting_for}` : `Stored safely. ${phaseOf(job.progress.phase)}…`}
    </p>
  );
}

function Export(): VNode {
  const [topic, setTopic] = useState('');
  const [busy, setBusy] = useState('');
  const take = async (format: string): Promise<void> => {
    setBusy(format);
    await attempt(() => download(path('/api/export', { format, topic }), `lessons${topic ? '-' + topic : ''}.${format}`));
    setBusy('');
  };
  return (
    <Card title="Export" id="export">
      <p class="soft">Everything that was taught, in a form that can be imported again.</p>
      <div class="line">
        <TopicPick value={topic} topics={topicNames()} onPick={setTopic} />
        {[['csv', 'Spreadsheet (CSV)'], ['json', 'JSON'], ['ndjson', 'JSON, one lesson a line']].map(([f, text]) => <button type="button" key={f} disabled={busy !== ''} onClick={() => void take(f)}>{busy === f ? 'Preparing…' : text}</button>)}
      </div>
    </Card>
  );
}
