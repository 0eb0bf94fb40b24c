import type { VNode } from 'preact';
import { del } from '../server';
import { useList } from '../list';
import { attempt } from '../undo';
import { ago, moment, plain } from '../words';
import { Card, Confirmed, Head, Scroll, Tag } from '../part/basic';
import { Await, Empty } from '../part/state';

interface Session { id: string; key: string; from: string; browser: string; created_at: string; seen_at: string; expires_at: string; current: boolean }
interface Key { name: string; state: string; source: string; scopes: string[]; note: string; created_at: string | null; last_used_at: string | null; expires_at: string | null }

// browserOf is the part of a user agent that people know.
function browserOf(agent: string): string {
  const name = /(Firefox|Edg|OPR|Chrome|Safari)\/(\d+)/.exec(agent);
  const on = /(Windows|Mac OS X|Android|iPhone|iPad|Linux)/.exec(agent);
  if (!name) return agent.slice(0, 40);
  return `${{ Edg: 'Edge', OPR: 'Opera' }[name[1]] ?? name[1]} ${name[2]}` + (on ? ` on ${on[1] === 'Mac OS X' ? 'macOS' : on[1]}` : '');
}

export function Access(): VNode {
  const sessions = useList<Session>('/api/sessions', 'sessions');
  const keys = useList<Key>('/api/keys', 'keys');
  const end = async (s: Session): Promise<void> => {
    if (!await attempt(() => del('/api/sessions/' + encodeURIComponent(s.id)), 'The session is ended.')) return;
    if (s.current) location.reload();
    else sessions.again();
  };
  return (
    <>
      <Head title="Sessions and keys" lead="Who is signed in, and which keys exist." />
      <Card title="Sessions">
        <Await load={sessions} what="the sessions" empty={() => (sessions.items.length ? null : <Empty title="Nobody is signed in">Sessions appear when someone signs in with a key.</Empty>)}>
          {() => (
            <Scroll label="Sessions">
              <table id="sessions">
                <thead><tr><th>Key</th><th>Browser</th><th>From</th><th>Signed in</th><th>Last seen</th><th>Expires if unused</th><th><span class="hidden">Actions</span></th></tr></thead>
                <tbody>
                  {sessions.items.map((s) => (
                    <tr key={s.id}>
                      <td>{s.key} {s.current && <Tag kind="succeeded">this one</Tag>}</td><td title={s.browser}>{browserOf(s.browser)}</td><td>{s.from}</td>
                      <td>{moment(s.created_at)}</td><td>{ago(s.seen_at)}</td><td>{moment(s.expires_at)}</td>
                      <td class="acts"><Confirmed class="small" sure="Yes, end it" onClick={() => void end(s)}>End</Confirmed></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )}
        </Await>
      </Card>
      <Card title="Keys">
        <Await load={keys} what="the keys" empty={() => (keys.items.length ? null : <Empty title="No keys yet">Create one on the server with nexus keys create.</Empty>)}>
          {() => (
            <Scroll label="Keys">
              <table id="keys">
                <thead><tr><th>Name</th><th>State</th><th>Scopes</th><th>Note</th><th>Last used</th><th>Expires</th></tr></thead>
                <tbody>
                  {keys.items.map((k) => (
                    <tr key={k.name}>
                      <td>{k.name}</td><td>{plain(k.state)}{k.source === 'settings' && ', from the settings'}</td><td>{k.scopes.map((x) => <Tag key={x} kind="">{x}</Tag>)}</td>
                      <td class="text">{k.note}</td><td>{k.source === 'settings' ? 'not recorded' : ago(k.last_used_at)}</td><td>{k.expires_at ? moment(k.expires_at) : 'never'}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </Scroll>
          )}
        </Await>
      </Card>
    </>
  );
}
