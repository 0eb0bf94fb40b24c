// Pages whose routes this server may not have yet are in the menu only where it has them.
import { effect, signal } from '@preact/signals';
import { link } from './live';
import { Fault, get } from './server';

export const offers = signal<Record<string, boolean>>({});

const routes: Record<string, string> = { audit: '/api/audit', access: '/api/sessions' };

let asked = false;
effect(() => {
  if (link.value !== 'live' || asked) return;
  asked = true;
  for (const [page, route] of Object.entries(routes)) {
    const set = (is: boolean): void => { offers.value = { ...offers.value, [page]: is }; };
    get(route).then(() => set(true), (e: unknown) => set(!(e instanceof Fault && e.status === 404)));
  }
});

// offered tells whether the menu shows a page.
export const offered = (page: string): boolean => !(page in routes) || offers.value[page] === true;
