// When an answer may be given: draft or live, from and until.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../server';
import type { Answer, Validity } from '../types';
import { attempt, tell } from '../undo';
import { moment } from '../words';
import { Field, Tag } from './basic';

// validityOf says in words whether an answer is given now.
export function validityOf(v: Validity): string {
  if (v.state === 'draft') return 'draft, not given';
  if (v.state === 'scheduled') return 'given from ' + moment(v.valid_from);
  if (v.state === 'expired') return 'not given since ' + moment(v.valid_until);
  return v.valid_until ? 'given until ' + moment(v.valid_until) : 'live';
}

// Given is a tag on answers that are not simply live.
export function Given({ of }: { of: Validity }): VNode | null {
  if (!of.state || (of.state === 'live' && !of.valid_until)) return null;
  return <Tag kind={of.state === 'live' ? '' : 'warn'}>{validityOf(of)}</Tag>;
}

// local is a time as an input of the browser takes it, in the reader's zone.
function local(at: string | null | undefined): string {
  if (!at) return '';
  const d = new Date(at);
  return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
const utc = (text: string): string | null => (text ? new Date(text).toISOString() : null);

export function When({ a, at, onChanged }: { a: Answer; at: string; onChanged: () => void }): VNode {
  const [from, setFrom] = useState(local(a.valid_from));
  const [until, setUntil] = useState(local(a.valid_until));
  const change: Validity = {};
  if (from !== local(a.valid_from)) change.valid_from = utc(from);
  if (until !== local(a.valid_until)) change.valid_until = utc(until);
  const set = async (json: Validity, done: string): Promise<void> => {
    const old: Validity = {};
    if ('draft' in json) old.draft = a.draft ?? false;
    if ('valid_from' in json) old.valid_from = a.valid_from ?? null;
    if ('valid_until' in json) old.valid_until = a.valid_until ?? null;
    const back = (): void => void attempt(() => call(at, { method: 'PATCH', json: old }), 'Undone.').then(onChanged);
    if (await attempt(() => call(at, { method: 'PATCH', json }))) {
      tell(done, 'good', 8000, back);
      onChanged();
    }
  };
  return (
    <form class="stack" id="when" onSubmit={(e) => { e.preventDefault(); void set(change, 'Dates saved.'); }}>
      <div class="line">
        <h3>When this answer is given</h3>
        <span id="given">{validityOf(a)}</span>
        <span class="gap" />
        {a.draft ? <button type="button" class="main" id="publish" onClick={() => void set({ draft: false }, 'Published.')}>Publish</button>
          : <button type="button" id="draft" onClick={() => void set({ draft: true }, 'Held back as a draft.')}>Hold back as a draft</button>}
      </div>
      <div class="line">
        <Field label="From" class="inline"><input type="datetime-local" id="validfrom" value={from} max={until || undefined} onInput={(e) => setFrom(e.currentTarget.value)} /></Field>
        <Field label="Until" class="inline"><input type="datetime-local" id="validuntil" value={until} min={from || undefined} onInput={(e) => setUntil(e.currentTarget.value)} /></Field>
        <span class="gap" />
        <button type="submit" id="savewhen" disabled={!Object.keys(change).length}>Save the dates</button>
      </div>
    </form>
  );
}
