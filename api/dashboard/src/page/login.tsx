// The page that other pages of the server lead to when someone has to sign in.
import type { VNode } from 'preact';
import { useEffect } from 'preact/hooks';
import { get } from '../server';
import { param } from '../place';
import { SignIn } from '../part/signin';

// whence is where to go back to. Only pages of this server count: a link from
// elsewhere must not lead on to another site.
function whence(): string {
  try {
    const to = new URL(param('next') || '/dashboard', location.origin);
    if (to.origin === location.origin) return to.pathname + to.search + to.hash;
  } catch { /* not an address */ }
  return '/dashboard';
}

export function Login(): VNode {
  const leave = (): void => location.replace(whence());
  useEffect(() => { get('/api/session').then(leave, () => undefined); }, []);
  return <SignIn after={leave} />;
}
