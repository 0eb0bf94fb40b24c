// What became of the test prompts from one run to another.
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { CheckChanges, CheckResult } from '../types';
import { many, reasonOf } from '../words';
import { Scroll, Tag } from './basic';

const kinds: Record<string, [string, string]> = { broken: ['failed', 'broken'], fixed: ['succeeded', 'fixed'], changed: ['warn', 'other answer'], new: ['', 'new'], same: ['', 'as before'] };
const order = ['broken', 'changed', 'fixed', 'new', 'same'];

export function Changed({ c }: { c: CheckChanges }): VNode | null {
  const [all, setAll] = useState(false);
  if (!c.after) return null;
  const moved = c.changes.filter((x) => x.change !== 'same');
  const failing = c.changes.filter((x) => x.change === 'same' && !x.passed);
  const shown = (all ? c.changes : [...moved, ...failing]).slice().sort((a, b) => order.indexOf(a.change) - order.indexOf(b.change));
  return (
    <>
      <p>
        <b>{c.after.passed} of {many(c.after.total, 'test')} passed</b>{c.before && <>, {c.before.passed} of {c.before.total} before</>}.{' '}
        {moved.length ? `${many(moved.length, 'test')} changed.` : 'Nothing changed.'}
      </p>
      {shown.length > 0 && (
        <Scroll label="What changed">
          <table class="wide">
            <thead><tr><th>Question</th><th>Expected</th><th>Before</th><th>Now</th><th>Change</th></tr></thead>
            <tbody>
              {shown.map((x) => (
                <tr key={x.check_id}>
                  <td class="text">{x.prompt}</td>
                  <td class="text">{x.expected ?? <em>a refusal</em>}</td>
                  <td class="text">{x.before ? <Got r={x.before} /> : '–'}</td>
                  <td class="text"><Got r={x} /></td>
                  <td><Tag kind={kinds[x.change][0]}>{kinds[x.change][1]}</Tag></td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {c.changes.length > shown.length || all ? <button type="button" class="link" onClick={() => setAll(!all)}>{all ? 'Show only what changed or fails' : `Show all ${c.changes.length}`}</button> : null}
    </>
  );
}

function Got({ r }: { r: CheckResult }): VNode {
  return <>{r.passed ? '✓' : '✗'} {r.response ?? <em>refused: {reasonOf(r.reason)}</em>}</>;
}
