// The states that whatever is loaded can be in: loading, empty, failed, not
// permitted, not there.
import type { ComponentChildren, VNode } from 'preact';
import type { Load } from '../load';
import { say } from '../words';

interface Props<T> {
  load: Load<T>;
  what: string; // "the answers": what could not be read
  empty?: (data: T) => ComponentChildren | null; // what to show in place of nothing
  children: (data: T) => ComponentChildren;
}

export function Await<T>({ load, what, empty, children }: Props<T>): VNode {
  const { data, fault, again } = load;
  if (data === null) return fault ? <Failed what={what} load={load} /> : <Loading />;
  const instead = empty?.(data);
  return (
    <>
      {fault && fault.status !== 401 && <p class="note bad" role="alert">{say(fault)} This is what was read before. <button type="button" class="link" onClick={again}>Try again</button></p>}
      {instead ?? children(data)}
    </>
  );
}

export function Loading(): VNode {
  return <div class="loading" role="status" aria-label="Loading"><i /><i /><i /></div>;
}

function Failed<T>({ what, load }: { what: string; load: Load<T> }): VNode {
  const f = load.fault!;
  if (f.status === 403) return <Empty title={`Your key may not read ${what}`}>Ask your administrator for a key with this permission, then sign out and sign in with it.</Empty>;
  if (f.status === 404 || f.status === 405) return <Empty title={`This server does not offer ${what}`}>It may run an older version, or the item was deleted.</Empty>;
  if (f.status === 401) return <Empty title="A key is needed">Sign in to read {what}.</Empty>;
  return (
    <Empty title={`${what[0].toUpperCase()}${what.slice(1)} could not be read`} alert>
      {say(f)} <button type="button" onClick={load.again}>Try again</button>
    </Empty>
  );
}

export function Empty({ title, children, alert }: { title: string; children?: ComponentChildren; alert?: boolean }): VNode {
  return <div class="empty" role={alert ? 'alert' : undefined}><h2>{title}</h2><p>{children}</p></div>;
}
