// What was forgotten: for each topic, what share of its test prompts passed in
// each run.
import type { VNode } from 'preact';
import { href } from '../place';
import type { CheckRun } from '../types';
import { ago, moment, percent } from '../words';
import { Card, Scroll } from './basic';

const shownRuns = 12;

export function Forgetting({ runs }: { runs: CheckRun[] }): VNode | null {
  const shown = runs.slice(0, shownRuns).reverse();
  const topics = [...new Set(shown.flatMap((r) => r.topics.map((t) => t.topic)))].sort();
  if (shown.length < 2) return null;
  return (
    <Card title="What was kept and forgotten" id="forgetting">
      <p class="hint">The share of its test prompts that each topic passed, oldest run first.</p>
      <Scroll label="What was kept and forgotten">
        <table class="wide matrix">
          <thead><tr><th>Topic</th>{shown.map((r) => <th key={r.id} class="num"><a href={href('checks', { run: r.id })} title={moment(r.at)}>{ago(r.at)}</a></th>)}</tr></thead>
          <tbody>
            {topics.map((name) => (
              <tr key={name}>
                <th scope="row">{name || 'any topic'}</th>
                {shown.map((r, i) => {
                  const t = r.topics.find((x) => x.topic === name), before = shown[i - 1]?.topics.find((x) => x.topic === name);
                  const share = t ? t.passed / t.total : null;
                  const fell = t && before && before.total === t.total && t.passed < before.passed;
                  return <td key={r.id} class={'num' + (fell ? ' fell' : '')}>{share === null ? '–' : percent(share)}{fell && <span class="hidden"> fell</span>}</td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </Card>
  );
}
