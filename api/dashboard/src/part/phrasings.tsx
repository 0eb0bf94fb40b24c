// Phrasings that the teacher suggests for an answer; a person chooses.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { post } from '../server';
import { attempt } from '../undo';
import { many } from '../words';

export function Suggested({ at, teacher, onAdd }: { at: string; teacher: string; onAdd: (prompts: string[]) => Promise<boolean> }): VNode {
  const [found, setFound] = useState<string[] | null>(null);
  const [out, setOut] = useState<Set<string>>(new Set());
  const [busy, setBusy] = useState(false);
  const ask = async (): Promise<void> => {
    setBusy(true);
    const got = await attempt(() => post<{ phrasings: string[] }>(at + '/suggest', undefined));
    setBusy(false);
    if (!got) return;
    setFound(got.phrasings);
    setOut(new Set());
  };
  const chosen = (found ?? []).filter((p) => !out.has(p));
  const add = async (): Promise<void> => { if (await onAdd(chosen)) setFound(null); };
  if (!found?.length) {
    return (
      <div class="line">
        <button type="button" id="suggest" disabled={busy} onClick={() => void ask()}>{busy ? 'Asking the teacher…' : 'Suggest phrasings'}</button>
        <small class="soft" role="status">{found ? 'The teacher has no other way to ask.' : `The teacher (${teacher}) writes them. Nothing is taught until you add it.`}</small>
      </div>
    );
  }
  return (
    <div class="stack" id="suggested" role="region" aria-label="Suggested phrasings">
      <ul class="rows">
        {found.map((p) => (
          <li key={p}>
            <label class="check"><input type="checkbox" checked={!out.has(p)} onChange={(e) => {
              const on = e.currentTarget.checked;
              setOut((o) => { const set = new Set(o); if (on) set.delete(p); else set.add(p); return set; });
            }} /> <span>{p}</span></label>
          </li>
        ))}
      </ul>
      <div class="line">
        <button type="button" class="main" id="addsuggested" disabled={!chosen.length} onClick={() => void add()}>Add {many(chosen.length, 'phrasing')}</button>
        <button type="button" class="plain" onClick={() => setFound(null)}>None of these</button>
      </div>
    </div>
  );
}
