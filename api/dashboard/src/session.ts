// Signing in and out.
import { reconnect } from './live';
import { del, Fault, locked, post, token } from './server';
import { attempt } from './undo';

// signIn trades a key for a session, which the browser holds in a cookie.
export async function signIn(key: string): Promise<void> {
  try {
    await post('/api/session', { key });
  } catch (e) {
    if (e instanceof Fault && e.status === 401) throw new Fault(401, { detail: 'This key is not known here.' });
    throw e;
  }
  locked.value = false;
  reconnect();
}

export async function signOut(): Promise<void> {
  const done = await attempt(() => del('/api/session').catch((e: unknown) => {
    if (!(e instanceof Fault && e.status === 401)) throw e; // it has ended already
  }).then(() => true));
  if (done) location.reload();
}

export const signedIn = (): boolean => token() !== '';
