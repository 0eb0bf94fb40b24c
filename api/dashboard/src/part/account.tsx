import type { VNode } from 'preact';
import { useLoad } from '../load';
import { locked } from '../server';
import { signedIn, signOut } from '../session';

export function Account(): VNode | null {
  return locked.value || !signedIn() ? null : <SignedIn />;
}

function SignedIn(): VNode {
  const me = useLoad<{ key: string | null }>('/api/session').data;
  return (
    <p class="account">
      {me?.key && <span>Signed in as <b>{me.key}</b></span>} <button type="button" class="plain" id="signout" onClick={() => void signOut()}>Sign out</button>
    </p>
  );
}
