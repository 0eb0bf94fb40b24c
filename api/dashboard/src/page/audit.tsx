import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { param, view } from '../place';
import { useLater } from '../load';
import { path, useList } from '../list';
import { moment } from '../words';
import { Head, More, Scroll, Search } from '../part/basic';
import { Await, Empty } from '../part/state';

interface Change { at: string; who: string; from: string; method: string; path: string; action?: string; job?: string; status: number; request_id: string }

const acts: Record<string, string> = {
  sign_in: 'Signed in', sign_out: 'Signed out', end_session: 'Ended a session', pause: 'Paused learning', resume: 'Resumed learning', train_start: 'Started training',
  train_stop: 'Stopped training', checkpoint: 'Saved a checkpoint', rollback: 'Rolled back to a checkpoint', key_create: 'Created a key', key_rotate: 'Rotated a key', key_revoke: 'Revoked a key',
};
const routes: [RegExp, string][] = [
  [/^POST .*\/feedback/, 'Gave feedback'], [/^POST \/api\/import\?(.*&)?dry_run=true/, 'Previewed an import'], [/^POST \/api\/(lessons|import)/, 'Taught lessons'], [/^DELETE \/api\/lessons/, 'Unlearned lessons'],
  [/^POST .*\/suggest(\?|$)/, 'Asked the teacher for phrasings'], [/^PATCH \/api\/answers/, 'Changed an answer'], [/^DELETE \/api\/answers/, 'Unlearned an answer'], [/^DELETE \/api\/refusals/, 'Dismissed a refusal'],
  [/^POST \/api\/jobs/, 'Created a job'], [/^DELETE \/api\/jobs/, 'Canceled a job'], [/^POST .*queues\/[^/]+[/:]pause/, 'Paused a queue'],
  [/^POST .*queues\/[^/]+[/:]resume/, 'Resumed a queue'], [/\/promote(\?|$)/, 'Promoted a checkpoint'], [/\/challenger?(\?|$)/, 'Chose a challenger'],
  [/^\w+ \/monitoring/, 'Changed tasks in the queue monitor'],
];

// did says what a change was.
function did(c: Change): string {
  const route = c.method + ' ' + c.path;
  return (c.action && acts[c.action]) || (routes.find(([r]) => r.test(route))?.[1] ?? route.split('?')[0]);
}

export function Audit(): VNode {
  const list = useList<Change>(path('/api/audit', {}), 'changes');
  const [q, setQ] = useState(param('q'));
  const late = useLater(q);
  useEffect(() => view({ q: late }), [late]);
  const shown = list.items.filter((c) => (did(c) + JSON.stringify(c)).toLowerCase().includes(late.toLowerCase()));
  return (
    <>
      <Head title="Audit log" lead="Who changed what, when, and from where." />
      <div class="filters"><Search label="Search these entries" value={q} onInput={setQ} /></div>
      <Await load={list} what="the audit log" empty={() => (shown.length ? null : <Empty title={list.items.length ? 'Nothing matches' : 'Nothing was changed yet'}>Changes to lessons, settings and jobs are listed here.</Empty>)}>
        {() => (
          <>
            <Scroll label="Audit log">
              <table class="wide" id="audit">
                <thead><tr><th>When</th><th>Who</th><th>Action</th><th>What</th><th>From</th></tr></thead>
                <tbody>
                  {shown.map((c) => (
                    <tr key={c.request_id + c.at}>
                      <td>{moment(c.at)}</td><td>{c.who || 'anyone (no key required)'}</td><td>{did(c)}</td>
                      <td class="text">{c.job ? <a href={'/dashboard/jobs?id=' + c.job}>job {c.job.slice(-8)}</a> : c.path}</td><td>{c.from}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
            <More next={list.next} onMore={list.more} />
          </>
        )}
      </Await>
    </>
  );
}
