// How many groups of refused prompts are open, for the menu. Read when refusals
// have been counted since, at most each ten seconds.
import { effect, signal } from '@preact/signals';
import { link, status } from './live';
import { get } from './server';
import type { Refusal } from './types';

export const openRefusals = signal(0);

let readAt = 0;
let counted = -1;

export function countRefusals(): void {
  readAt = Date.now();
  get<{ refusals: Refusal[] }>('/api/refusals').then((p) => { openRefusals.value = p.refusals.length; }, () => undefined);
}

effect(() => {
  const n = status.value?.metrics.requests.refused ?? -1;
  if (link.value !== 'live' || n < 0 || n === counted || Date.now() - readAt < 10_000) return;
  counted = n;
  countRefusals();
});
