import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { param, view } from '../place';
import { useLater } from '../load';
import { path, useList } from '../list';
import { moment, plain } from '../words';
import { Head, More, Scroll, Search } from '../part/basic';
import { Await, Empty } from '../part/state';

interface Entry { at: string; who?: string; action?: string; what?: string; from?: string; [more: string]: unknown }

export function Audit(): VNode {
  const list = useList<Entry>(path('/api/audit', {}), 'entries');
  const [q, setQ] = useState(param('q'));
  const late = useLater(q);
  useEffect(() => view({ q: late }), [late]);
  const shown = list.items.filter((e) => JSON.stringify(e).toLowerCase().includes(late.toLowerCase()));
  return (
    <>
      <Head title="Audit log" lead="Who changed what, when, and from where." />
      <div class="filters"><Search label="Search what is shown" value={q} onInput={setQ} /></div>
      <Await load={list} what="the audit log" empty={() => (shown.length ? null : <Empty title={list.items.length ? 'Nothing matches' : 'Nothing was changed yet'}>Every change of state is listed here.</Empty>)}>
        {() => (
          <>
            <Scroll label="Audit log">
              <table class="wide" id="audit">
                <thead><tr><th>When</th><th>Who</th><th>Did</th><th>What</th><th>From</th></tr></thead>
                <tbody>{shown.map((e, i) => <tr key={i}><td>{moment(e.at)}</td><td>{e.who ?? '–'}</td><td>{plain(e.action ?? '')}</td><td class="text">{e.what ?? ''}</td><td>{e.from ?? ''}</td></tr>)}</tbody>
              </table>
            </Scroll>
            <More next={list.next} onMore={list.more} />
          </>
        )}
      </Await>
    </>
  );
}
