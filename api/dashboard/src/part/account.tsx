import type { VNode } from 'preact';
import { locked } from '../server';
import { signedIn, signOut } from '../session';

export function Account(): VNode | null {
  if (locked.value || !signedIn()) return null;
  return <p class="account"><button type="button" class="plain" onClick={signOut}>Sign out</button></p>;
}
