// Signing in and out.
import { reconnect } from './live';
import { Fault, forgetKey, hasKey, useKey } from './server';

// signIn tries a key before it is used.
export async function signIn(key: string): Promise<void> {
  let res: Response;
  try {
    res = await fetch('/api/packs', { headers: { Accept: 'application/json', Authorization: 'Bearer ' + key }, cache: 'no-store' });
  } catch {
    throw new Fault(0, { code: 'unreachable' });
  }
  if (res.status === 401) throw new Fault(401, { detail: 'This key is not known here.' });
  useKey(key);
  reconnect();
}

export function signOut(): void {
  forgetKey();
  location.reload();
}

export const signedIn = hasKey;
