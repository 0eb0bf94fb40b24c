// What is wrong, in words, with what to do.
import type { VNode } from 'preact';
import remedies from '../remedies.json';
import { href } from '../place';
import { upper } from '../words';

interface Remedy { match: string; title: string; steps: string[]; page?: string; query?: Record<string, string> }

const known = (remedies as Remedy[]).map((r) => ({ ...r, test: new RegExp(r.match) }));

export function Issues({ issues, grave }: { issues: string[]; grave: boolean }): VNode | null {
  if (!issues.length) return null;
  return (
    <ul class={'issues ' + (grave ? 'grave' : '')} id="issues">
      {issues.map((text) => {
        const r = known.find((k) => k.test.test(text))!;
        return (
          <li key={text.replace(/\d+/g, '#')}>
            <details>
              <summary><span>{upper(text)}</span><b>What to do</b></summary>
              <h3>{r.title}</h3>
              <ol>{r.steps.map((s) => <li key={s}>{s}</li>)}</ol>
              {r.page && <a class="button" href={href(r.page, r.query)}>Open the page</a>}
            </details>
          </li>
        );
      })}
    </ul>
  );
}
